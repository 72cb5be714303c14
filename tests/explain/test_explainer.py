"""An explanation is of the student's own answer, in every kind of student, and computed as it is defined."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax import presets
from lift_flax.augment.streams import make_eval_streams
from lift_flax.config_checks import from_dict
from lift_flax.explain.attention_rollout import patch_rollout
from lift_flax.explain.class_activation import choose_stage
from lift_flax.explain.explainer import Explainer, Explanation, forward
from lift_flax.models.build import luminous_token_count, make_student
from lift_flax.models.functional import create
from lift_flax.models.inputs import student_inputs
from lift_flax.models.intermediates import Intermediates
from lift_flax.models.vit import PViT
from lift_flax.runs.trained import TrainedRun
from tests.explain import by_steps
from tests.support.readings import READINGS
from tests.support.trained_tools import CLASSES, random_trained

SIZE = 32
VARIANTS = {
    "tiny": {"data.num_frames": 9, "model.levels": 2, "model.pvit.patch": 8},
    "tiny,streams=main,distill=no": {},
    "tiny,streams=luminous,foe=no": {"data.num_frames": 5},
    "tiny,luminous=flow": {"model.luminous.size": 64},
    **READINGS,
}
REMAT = {f"train.remat.{part}": True for part in ("trunk", "pvit", "levels")}


def explained(argument: str, **fields) -> tuple[TrainedRun, dict, Explanation]:
    """(a run, the streams of a batch of one clip, what is explained of it)"""
    trained = random_trained(argument, **fields)
    config, rng = trained.config, np.random.default_rng(0)
    count = config.data.num_frames
    parts = {"clip": rng.integers(0, 255, (count, SIZE, SIZE, 3), np.uint8)}
    if config.model.luminous.takes_flow:
        parts["flow"] = rng.integers(100, 156, (count, SIZE, SIZE, 2), np.uint8)
    batch = {name: jnp.asarray(part)[None] for name, part in parts.items()}
    streams = make_eval_streams(batch | {"label": jnp.zeros(1, int), "weight": jnp.ones(1)}, config, len(CLASSES))
    return trained, streams, Explainer(trained)(parts)


@pytest.mark.slow
@pytest.mark.parametrize("argument", VARIANTS)
def test_the_explained_answer_is_the_students_own(argument):
    """In every kind of student; shares sum to 1, and a stream that is left out has none."""
    trained, streams, found = explained("tiny" if argument in READINGS else argument, **VARIANTS[argument])
    config = trained.config
    own, _ = jax.jit(trained.outputs)(trained.params, trained.batch_stats, streams)
    np.testing.assert_allclose(found.probabilities, jax.nn.softmax(own["logits"])[0], rtol=1e-4, atol=1e-6)
    assert found.label == own["logits"][0].argmax()
    levels, kind = config.model.levels, config.model.streams
    if argument in ("gate", "late", "all heads"):
        assert found.main.sum() + found.luminous.sum() == pytest.approx(1, rel=1e-5)
        assert found.main.sum() > 0.5**levels + 0.01  # more than Eq. 2's residual leaves
    else:
        main = {"both": 0.5**levels, "main": 1, "luminous": 0}[kind]
        assert found.main.sum() == pytest.approx(main, rel=1e-5)
        assert found.luminous.sum() == pytest.approx(1 - main, rel=1e-5)
    assert found.attention.sum() == pytest.approx(1, rel=1e-5) and found.attention.min() >= 0
    grid = 1 if kind == "luminous" else SIZE // config.model.pvit.patch
    count = config.data.num_frames
    assert found.attention.shape == (count, grid, grid)
    assert found.stage == {"main": "pvit"}.get(kind, "layer3" if "flow" in argument else "layer2")
    assert found.activation.min() >= 0 < found.activation.max()
    tokens = luminous_token_count(config) if kind != "main" else count
    with_foe = levels * config.model.foe * (config.model.output != "late")
    assert found.spectra.shape == (with_foe, 2, tokens, 128)
    assert found.relevance.shape == (count,) and found.relevance.any()


@pytest.mark.parametrize("argument", ["tiny", pytest.param("tiny,streams=main,distill=no", marks=pytest.mark.slow)])
def test_one_pass_gives_what_the_steps_give(argument):
    trained, streams, found = explained(argument, **VARIANTS[argument])

    @functools.partial(jax.jit, static_argnames="stage")
    def steps(params, stats, streams, label, stage):
        return by_steps.maps(trained.network, params, stats, *student_inputs(trained.config, streams), label, stage)

    expected = steps(trained.params, trained.batch_stats, streams, jnp.array([found.label]), found.stage)
    for name in ("main", "luminous", "activation"):
        wanted = np.asarray(getattr(expected, name))[0]
        np.testing.assert_allclose(
            getattr(found, name), wanted, rtol=0, atol=1e-5 * max(wanted.max(), 1e-30), err_msg=name
        )
    weights = found.main / found.main.sum()
    np.testing.assert_allclose(found.attention, weights[:, None, None] * expected.patches[0], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_run_that_computes_parts_again_is_explained_alike():
    """Its training saves memory by `train.remat`; an answer does not depend on that."""
    *_, one = explained("tiny")
    *_, other = explained("tiny", **REMAT)
    for name in ("probabilities", "attention", "activation", "relevance", "spectra"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-4, atol=1e-7, err_msg=name)


@pytest.mark.slow
def test_rollout_of_even_attention():
    """Without queries every token takes alike of all: L blocks leave 1/2^L with the class token itself."""
    blocks, tokens = 3, 5
    pvit = PViT(16, blocks, 8, 12, 2, 24, gelu="exact", ln_eps=1e-6, rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)

    def rollout() -> jax.Array:
        inside = Intermediates()
        pvit(images, intermediates=inside)
        return patch_rollout([inside.arrays[f"blocks/{i}/attention"] for i in range(blocks)])

    shares = rollout()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert np.std(shares[:, 1:], axis=1).min() > 1e-5
    for block in pvit.blocks:
        block.attention.query.kernel[...] *= 0
    even = (1 - 0.5**blocks) / tokens
    expected = np.tile([even + 0.5**blocks] + [even] * (tokens - 1), (2, 1))
    np.testing.assert_allclose(rollout(), expected, rtol=1e-5)
    pvit.output = "class+mean"  # half of what it gives is the mean of the patches, each of which took alike of all
    left = 0.5**blocks / 2
    expected = np.tile([even + left] + [even + left / (tokens - 1)] * (tokens - 1), (2, 1))
    np.testing.assert_allclose(rollout(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("argument", "size", "stage"),
    [
        ("unfreeze=all", 224, "layer4"),
        ("tiny", 64, "layer3"),
        ("tiny", 16, "layer1"),
        ("tiny,streams=main", 64, "pvit"),
    ],
)
def test_the_deepest_map_that_shows_places(argument, size, stage):
    values = presets.get_config(argument).unlock()
    values.update_from_flattened_dict({"model.luminous.size": size})
    config = from_dict(values.to_dict())
    network, draw = create(functools.partial(make_student, config, 3), 0)
    dark = jax.ShapeDtypeStruct((1, 8, config.data.size, config.data.size, 3), jnp.float32)
    luminous = jax.ShapeDtypeStruct((1, 8, size, size, 3), jnp.float32)
    _, shapes = jax.eval_shape(functools.partial(forward, network), *jax.eval_shape(draw), dark, luminous, {})
    assert choose_stage(shapes, config.model.streams) == stage
