"""What a training step promises about the teacher, the frozen parts and the optimizer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lift_flax.models import functional, inputs
from lift_flax.models.lift_net import luminous_tokens
from lift_flax.train import losses, optim, phases
from lift_flax.weights import converted
from lift_flax.weights.vits import vit
from tests.support.readings import READINGS
from tests.support.small_config import LIGHT, small_config
from tests.support.weights_tools import timm_tensors

CLASSES = 3
FRAMES = 12  # the trunk halves time three times: fewer than nine would leave one luminous token, repeated


def _streams(seed: int = 0, rows: int = 4, channels: int = 3) -> dict:
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % CLASSES
    return {
        "dark": jnp.asarray(rng.integers(0, 40, (rows, FRAMES, 32, 32, 3)), jnp.uint8),
        "lit": jnp.asarray(rng.integers(0, 120, (rows, FRAMES, 32, 32, 3)), jnp.uint8),
        "luminous": jnp.asarray(rng.integers(0, 120, (rows, FRAMES, 32, 32, channels)), jnp.uint8),
        "targets": jax.nn.one_hot(labels, CLASSES),
        "weight": jnp.ones(rows),
    }


def _run(phase: phases.Phase, config, count: int):
    """(first state, last state, metrics of every step)"""
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
    step = jax.jit(phase.make_step(phase.network, config, optimizer))
    first = now = phase.initial_state(optimizer)
    metrics = []
    for _ in range(count):
        now, values = step(now, _streams(channels=config.model.luminous.channels))
        metrics.append({name: float(v) for name, v in values.items()})
    return first, now, metrics


def _student(arg: str = "tiny", **overrides):
    """(config, student phase, its teacher's state): a teacher as it is drawn is as good as a trained one here."""
    config = small_config(arg, **overrides)
    if not config.train.distill:
        return config, phases.student_phase(config, CLASSES, None), None
    teacher = phases.teacher_phase(config, CLASSES).initial_state(optax.sgd(0.0))
    return config, phases.student_phase(config, CLASSES, teacher), teacher


def _changed(before, after) -> set[str]:
    before, after = functional.flatten(before), functional.flatten(after)
    assert before.keys() == after.keys()
    return {path for path in before if not np.array_equal(before[path], after[path])}


def _movable(paths) -> set[str]:
    """Without key biases: softmax does not see them, so their gradient is zero in exact arithmetic."""
    return {path for path in paths if not path.endswith("key/bias")}


@pytest.mark.slow
def test_teacher_learns():
    config = small_config()
    first, last, metrics = _run(phases.teacher_phase(config, CLASSES), config, 12)
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert int(last["step"]) == 12
    assert _changed(first["params"], last["params"]) == set(functional.flatten(first["params"]))
    assert _changed(first["batch_stats"], last["batch_stats"]) == set(functional.flatten(first["batch_stats"]))


def test_student_step_leaves_the_teacher_alone_and_learns():
    config, phase, teacher = _student()
    _, last, metrics = _run(phase, config, 12)
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert not _changed(last["params"]["trunk"], teacher["params"])
    assert not _changed(last["batch_stats"]["trunk"], teacher["batch_stats"])


def test_one_forward_equals_two():
    """The student's one pass through the R(2+1)D gives the teacher's own logits and the same luminous tokens."""
    config, phase, teacher = _student()
    streams = _streams()
    start = phase.initial_state(optax.sgd(0.0))
    out, _ = jax.jit(functools.partial(phase.outputs, train=True))(start["params"], start["batch_stats"], streams)
    teacher_outputs = functools.partial(phases.teacher_phase(config, CLASSES).outputs, train=False)
    alone, _ = jax.jit(teacher_outputs)(teacher["params"], teacher["batch_stats"], streams)
    np.testing.assert_array_equal(out["teacher_logits"], alone["logits"])
    np.testing.assert_allclose(out["luminous_tokens"], luminous_tokens(alone["features"], FRAMES), atol=1e-6)


@pytest.fixture(scope="module")
def pvit_weights(tmp_path_factory) -> str:
    """A folder of converted ViT weights, as `model.pvit.init_from` takes it."""
    folder = tmp_path_factory.mktemp("weights") / "pvit"
    converted.save(vit.convert(timm_tensors(2, dim=64, grid=2), 2, num_heads=1), "", folder)
    return str(folder)


@pytest.mark.parametrize(("unfreeze", "trained_blocks"), [
    ("first", {"0"}),
    pytest.param("all", {"0", "1"}, marks=pytest.mark.slow),
    pytest.param("none", set(), marks=pytest.mark.slow),
])  # fmt: skip
def test_frozen_parameters_stay_and_have_no_moments(pvit_weights, unfreeze, trained_blocks):
    sizes = {"model.pvit.dim": 64, "model.pvit.num_heads": 1, "model.pvit.mlp_dim": 256}
    config, phase, _ = _student(f"tiny,unfreeze={unfreeze}", **sizes, **{"model.pvit.init_from": pvit_weights})
    first, last, _ = _run(phase, config, 3)
    changed = _changed(first["params"], last["params"])
    blocks = {path.split("/")[3] for path in changed if path.startswith("main/pvit/blocks/")}
    assert blocks == trained_blocks
    assert not any(path.startswith("trunk/") for path in changed)
    trained = {path for path in functional.flatten(first["params"]) if phase.trains(path)}
    assert changed <= trained and _movable(changed) == _movable(trained)
    adam = first["opt_state"][0]
    assert set(functional.flatten(adam.mu)) == set(functional.flatten(adam.nu)) == trained


# in `make test` two processes train the first, the others' parts have tests of their own
VARIANTS = [
    "tiny,streams=main,distill=no",
    "tiny,distill=no",
    "tiny,luminous=flow",
    "tiny,streams=main",
    "tiny,streams=luminous",
    "tiny,foe=no",
    "tiny,teacher=r3d_tiny",
    "tiny,vit_blocks=1",
]


@pytest.mark.slow
@pytest.mark.parametrize(("arg", "fields"), [
    *((arg, {}) for arg in VARIANTS), *(("tiny", {**fields, "data.num_frames": FRAMES}) for fields in READINGS.values())
])  # fmt: skip
def test_every_variant_trains(arg, fields):
    config, phase, _ = _student(arg, **fields)
    first, last, metrics = _run(phase, config, 2)
    assert all(np.isfinite(list(m.values())).all() for m in metrics)
    trained = {path for path in functional.flatten(first["params"]) if phase.trains(path)}
    changed = _changed(first["params"], last["params"])
    assert changed <= trained and _movable(changed) == _movable(trained)
    assert any(path.startswith("trunk/") for path in trained) == ("distill=no" in arg and "streams=main" not in arg)
    assert ("distillation" in metrics[0]) == config.train.distill


@pytest.mark.slow
def test_finetune_trains_the_trunk_against_a_frozen_copy():
    config, phase, teacher = _student(**{"train.trunk": "finetune"})
    _, last, _ = _run(phase, config, 2)
    assert not _changed(last["params"]["teacher"], teacher["params"])
    assert not _changed(last["batch_stats"]["teacher"], teacher["batch_stats"])
    changed = _changed(last["params"]["trunk"], teacher["params"])
    assert changed == {path for path in functional.flatten(teacher["params"]) if not path.startswith("fc/")}


def test_padding_rows_do_not_count():
    logits, targets = jnp.array([[2.0, 0.0], [0.0, 9.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    alone = losses.cross_entropy(logits[:1], targets[:1], jnp.ones(1))
    padded = losses.cross_entropy(logits, targets, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(alone, padded, rtol=1e-6)


def test_a_rare_clip_counts_for_more_whatever_stands_beside_it():
    logits, targets = jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    weight = jnp.array([4.0, 0.5])
    together = losses.cross_entropy(logits, targets, weight)
    parts = [losses.cross_entropy(logits[i : i + 1], targets[i : i + 1], weight[i : i + 1]) for i in (0, 1)]
    np.testing.assert_allclose(together, np.mean(parts), rtol=1e-6)  # as in parts of a batch
    alone = losses.cross_entropy(logits[:1], targets[:1], jnp.ones(1))
    np.testing.assert_allclose(parts[0], 4 * alone, rtol=1e-6)


def test_losses_are_equations_5_and_6():
    h1, h2 = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[0.0, 1.0, 0.5]])
    y, one = jnp.array([[0.25, 0.75, 0.0]]), jnp.ones(1)
    softmax = np.exp(h2) / np.exp(h2).sum()
    np.testing.assert_allclose(losses.cross_entropy(h2, y, one), -(y * np.log(softmax)).sum(), rtol=1e-6)
    np.testing.assert_allclose(losses.distillation(h1, h2, one, term="l1_sum"), 1 + 3 + 0, rtol=1e-6)
    np.testing.assert_allclose(losses.distillation(h1, h2, one), (1 + 3 + 0) / 3, rtol=1e-6)
    gradient = jax.grad(lambda h: losses.distillation(h, h2, one))(h1)
    assert not gradient.any()


def test_schedule_is_a_cosine_to_zero():
    config = small_config(**{"train.learning_rate": 0.5})
    schedule = optim.make_schedule(config, 100)
    np.testing.assert_allclose([schedule(0), schedule(50), schedule(100)], [0.5, 0.25, 0.0], atol=1e-7)


def test_warm_up_rises_in_a_line_and_leaves_the_rest_to_the_cosine():
    schedule = optim.make_schedule(small_config(**{"train.learning_rate": 0.5, "train.warmup": 0.2}), 100)
    rates = [schedule(step) for step in (0, 10, 20, 60, 100)]
    np.testing.assert_allclose(rates, [0.0, 0.25, 0.5, 0.25, 0.0], atol=1e-7)


def test_clipping_leaves_the_direction_of_a_gradient():
    """Two gradients beyond the norm that differ in size alone are one; one below it stays as it is."""
    config = small_config(**{"train.clip_norm": 1.0})
    plain, clipping = (optim.make_optimizer(c, lambda step: 0.1) for c in (small_config(), config))
    params = {"a": jnp.array([3.0, 4.0])}

    def updated(optimizer, gradient):
        _, state = optimizer.update(gradient, optimizer.init(params), params)
        return [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    for found, expected in (
        (updated(clipping, {"a": 1e6 * params["a"]}), updated(plain, {"a": params["a"] / 5})),
        (updated(clipping, {"a": 0.1 * params["a"]}), updated(plain, {"a": 0.1 * params["a"]})),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_smoothed_targets_keep_their_sum_and_their_class():
    targets = losses.smoothed(jnp.array([[1.0, 0.0, 0.0, 0.0]]), 0.2)
    np.testing.assert_allclose(targets, [[0.85, 0.05, 0.05, 0.05]], atol=1e-7)


def test_divergence_of_softened_answers():
    h1, h2, one = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[0.0, 1.0, 0.5]]), jnp.ones(1)
    p, q = (np.exp(np.asarray(h) / 2) / np.exp(np.asarray(h) / 2).sum() for h in (h1, h2))
    found = losses.distillation(h1, h2, one, term="kl", temperature=2.0)
    np.testing.assert_allclose(found, 4 * (p * np.log(p / q)).sum(), rtol=1e-5)
    assert losses.distillation(h1, h1 + 3, one, term="kl") < 1e-6


def test_a_moving_average_follows_what_is_trained_and_answers():
    config = small_config(**{**LIGHT, "train.ema": 0.5, "train.learning_rate": 1e-2})
    phase = phases.student_phase(config, CLASSES, None)
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
    step = jax.jit(phase.make_step(phase.network, config, optimizer))
    state = phase.initial_state(optimizer)
    expected = jax.tree.map(np.asarray, optim.split_params(state["params"], phase.trains)[0])
    for i in range(3):
        state, _ = step(state, _streams())
        kept, newest = min(0.5, (1 + i) / (10 + i)), optim.split_params(state["params"], phase.trains)[0]
        expected = jax.tree.map(lambda old, new, kept=kept: kept * old + (1 - kept) * np.asarray(new), expected, newest)
    params, stats = functional.answering(state)
    assert params.keys() == state["params"].keys() and _changed(params, state["params"])
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(found, wanted, atol=1e-6),
        optim.split_params(params, phase.trains)[0], expected,
    )  # fmt: skip
    assert stats.keys() == state["batch_stats"].keys()


def test_normalise_is_zero_mean_unit_scale():
    clip = jnp.full((1, 1, 2, 2, 3), 255, jnp.uint8)
    np.testing.assert_allclose(inputs.normalise(clip, (0.5, 0.5, 0.5), (0.5, 0.25, 0.5))[0, 0, 0, 0], [1, 2, 1])
