"""What the streams are made of, and how the logits of several heads come together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.augment.streams import clip_streams, make_train_streams
from lift_flax.models import inputs
from lift_flax.video import gamma
from tests.support.small_config import small_config
from tests.support.trained_tools import random_trained


def test_motion_is_grey_and_its_changes():
    """Of grey frames at levels 51, 102 and 255: to the next frame, and from the last; none at either end."""
    lit = np.broadcast_to(np.array([51, 102, 255], np.uint8)[None, :, None, None, None], (1, 3, 2, 2, 3))
    found = np.asarray(inputs.motion(jnp.asarray(lit)))[0, :, 1, 1]  # [T, 3]
    expected = [[3 * (0.2 - 0.3), 6 * 0.2, 0], [3 * (0.4 - 0.3), 6 * 0.6, 6 * 0.2], [3 * (1 - 0.3), 0, 6 * 0.6]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_main_stream_that_takes_motion_reads_lit_frames():
    fields = {"model.main_input": "motion", "model.luminous.gamma_target": 58.0, "model.luminous.size": 16}
    config = small_config(**fields)
    clip = np.random.default_rng(0).integers(0, 40, (1, 4, 32, 32, 3), np.uint8)
    streams = clip_streams({"clip": jnp.asarray(clip)}, config)
    lit = gamma.light(clip[0], 1.8, 58.0)
    np.testing.assert_array_equal(streams["lit"][0], lit)
    np.testing.assert_array_equal(inputs.main_inputs(config, streams), inputs.motion(jnp.asarray(lit)[None]))
    frames = small_config(**fields | {"model.main_input": "lit", "model.luminous.input": "motion"})
    expected = inputs.normalise(jnp.asarray(lit)[None], frames.model.pvit.mean, frames.model.pvit.std)
    np.testing.assert_array_equal(
        inputs.main_inputs(frames, clip_streams({"clip": jnp.asarray(clip)}, frames)), expected
    )
    assert "lit" not in clip_streams({"clip": jnp.asarray(clip)}, small_config())
    alone = small_config("tiny,streams=luminous", **fields)
    streams = clip_streams({"clip": jnp.asarray(clip)}, alone)
    assert "lit" not in streams and len(inputs.student_inputs(alone, streams)) == 2  # nothing reads the main stream's


def test_a_student_of_one_stream_takes_what_training_makes_for_it():
    """Frames that nothing reads are not among the streams, and kept features stand for a ViT."""
    batch = {"clip": jnp.zeros((2, 4, 32, 32, 3), jnp.uint8), "label": jnp.zeros(2, int), "weight": jnp.ones(2)}
    kept = {**batch, "main_features": jnp.zeros((2, 4, 24))}
    for streams, given in (("luminous", batch), ("main", kept), ("both", kept)):
        trained = random_trained(f"tiny,streams={streams}", **{"augment.cutmix": 0.0})
        made = make_train_streams(given, jax.random.key(0), trained.config, 3)
        assert "dark" not in made
        outputs, _ = jax.eval_shape(trained.outputs, trained.params, trained.batch_stats, made)
        assert outputs["logits"].shape == (2, 3)


@pytest.mark.parametrize(("output", "heads"), [
    ("levels", ["head"]), ("late", ["head", "luminous_head"]), ("levels+late", ["head", "main_head", "luminous_head"]),
])  # fmt: skip
def test_the_logits_are_the_sum_of_those_of_all_heads(output, heads):
    """The last layer of each head has nothing but a bias of its own, one head after the other."""
    trained = random_trained(**{"model.output": output})
    clip = jnp.asarray(np.random.default_rng(1).integers(0, 40, (1, 4, 32, 32, 3), np.uint8))
    streams = clip_streams({"clip": clip}, trained.config)
    params = jax.tree.map(lambda x: x, trained.params)
    assert sorted(name for name in params if name.endswith("head")) == sorted(heads)
    for name in heads:
        params[name]["fc2"] = jax.tree.map(jnp.zeros_like, params[name]["fc2"])
    answer, found = jax.jit(trained.outputs), {}
    for i, name in enumerate(heads):
        params[name]["fc2"]["bias"] = jnp.arange(3.0) + 10**i
        expected = sum(np.arange(3.0) + 10**k for k in range(i + 1))
        found = answer(params, trained.batch_stats, streams)[0]
        np.testing.assert_allclose(found["logits"][0], expected, rtol=1e-5)
    own = {"late": 1, "levels+late": 10}.get(output)  # the main stream's
    assert ("main_logits" in found) == (own is not None)
    if own:
        np.testing.assert_allclose(found["main_logits"][0], np.arange(3.0) + own, rtol=1e-5)
