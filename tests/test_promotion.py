"""No function that runs on a device promotes dtypes or ranks in silence: all are traced while JAX refuses to."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from lift_flax.augment import stages, streams
from lift_flax.config import AUGMENTATIONS
from lift_flax.explain import explainer
from lift_flax.plan import compile_step
from lift_flax.predict import inference
from lift_flax.pretrain import views
from lift_flax.pretrain.phase import pretrain_phase
from lift_flax.train import optim
from tests.support import promotion
from tests.support.small_config import small_config
from tests.support.trained_tools import random_trained

CLIP, FLOW = (jax.ShapeDtypeStruct((4, 4, 32, 32, channels), jnp.uint8) for channels in (3, 2))
FIELDS = {"model.luminous.size": 16, **{f"augment.{name}": 0.5 for name in AUGMENTATIONS}}


@pytest.fixture(autouse=True)
def _strict():
    with promotion.strict():
        yield


@pytest.mark.parametrize("operands", [(jnp.float32(1), jnp.ones(2, int)), (jnp.ones((2, 3)), jnp.ones(3))])
def test_promotion_is_refused(operands):
    with pytest.raises((TypeError, ValueError), match="promotion"):
        jax.eval_shape(jnp.add, *operands)


@pytest.mark.parametrize("stage", stages.STAGES, ids=lambda stage: next(iter(stage.texts)))
def test_augmentation(stage):
    ranges = small_config(**FIELDS).augment
    draws = jax.eval_shape(lambda key: streams._draw(stage, key, None, ranges, CLIP.shape), jax.random.key(0))
    for function, array in [(stage.frames, CLIP), (stage.targets, jax.ShapeDtypeStruct((4, 3), jnp.float32))]:
        if function:
            jax.eval_shape(lambda x, d, f=function: streams._apply(f, x, d, ranges), array, draws)
    moved = FLOW
    for function in stage.flow:
        moved = jax.eval_shape(lambda x, d, f=function: streams._apply(f, x, d, ranges), moved, draws)
    assert moved == FLOW


QUICK = [("teacher", "float32", "flow"), ("student", "bfloat16", "gamma")]
STEPS = itertools.product(("teacher", "student"), ("float32", "bfloat16"), ("gamma", "flow"))


@pytest.mark.parametrize(
    ("phase", "dtype", "luminous"),
    [pytest.param(*step, marks=[] if step in QUICK else pytest.mark.slow) for step in STEPS],
)
def test_training_steps(phase, dtype, luminous):
    config = small_config(
        **{**FIELDS, "model.luminous.input": luminous, "train.precision": dtype, "train.accumulate": 2}
    )
    step = compile_step.step_shapes(config, 3, phase)
    state, metrics = jax.eval_shape(step.function, step.state, step.streams)
    assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(lambda x: x.dtype, step.state)
    assert {x.dtype for x in metrics.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("luminous", ["flow", "motion"])
def test_pretraining(luminous):
    fields = {**FIELDS, "model.luminous.input": luminous, "train.precision": "bfloat16", "train.accumulate": 2}
    config = views.without_labels(small_config(**fields))
    phase = pretrain_phase(config)
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 9))
    batch = {"clip": CLIP, "flow": FLOW} if luminous == "flow" else {"clip": CLIP}
    batch = {name: x.update(shape=(4, 2, *x.shape[1:])) for name, x in batch.items()}
    streams = jax.eval_shape(
        lambda batch, key: views.make_view_streams(batch, key, config, 3), batch, jax.random.key(0)
    )
    before = phase.state_shapes(optimizer)
    state, metrics = jax.eval_shape(phase.make_step(phase.network, config, optimizer), before, streams)
    assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(lambda x: x.dtype, before)
    assert {x.dtype for x in metrics.values()} == {jnp.dtype("float32")}


@pytest.mark.slow
@pytest.mark.parametrize("fields", [
    {"train.trunk": "finetune", "train.remat.trunk": True, "train.remat.levels": True, "model.levels": 2},
    {"model.streams": "main"},
    {"model.streams": "luminous"},
    {"model.teacher.name": "r3d_tiny"},
    {"model.pvit.gelu": "tanh", "model.pvit.qkv_bias": False, "model.fusion_scale": "head_dim"},
])  # fmt: skip
def test_students_of_other_kinds(fields):
    step = compile_step.step_shapes(small_config(**fields), 3, "student")
    state, metrics = jax.eval_shape(step.function, step.state, step.streams)
    assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(lambda x: x.dtype, step.state)
    assert {x.dtype for x in metrics.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("luminous", ["gamma", "flow"])
def test_answers_and_explanations(luminous):
    trained = random_trained(**{"model.luminous.input": luminous, "train.precision": "bfloat16"})
    inputs = [jax.ShapeDtypeStruct((2, *shape), jnp.uint8) for shape in inference.input_shapes(trained.config).values()]
    for fft in (True, False):
        answers = jax.eval_shape(inference.make_inference(trained, fft=fft), *inputs)
        assert {x.dtype for x in answers.values()} == {jnp.dtype("float32")}
    batch = {name: x.update(shape=(1, *x.shape[1:])) for name, x in zip(("clip", "flow"), inputs, strict=False)}
    seen = jax.eval_shape(lambda batch: streams.clip_streams(batch, trained.config), batch)
    look = explainer.Explainer(trained)._look
    found = jax.eval_shape(look, trained.params, trained.batch_stats, seen, jax.ShapeDtypeStruct((1,), jnp.int32))
    assert jnp.dtype("bfloat16") not in {x.dtype for x in jax.tree.leaves(found)}  # what is shown is float32
