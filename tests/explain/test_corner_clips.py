"""A trained student's maps point where they should: its clips move in one corner only."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.augment.streams import make_eval_streams
from lift_flax.explain.explainer import Explainer, Explanation
from lift_flax.models.build import make_student
from lift_flax.models.functional import create, flatten, unflatten
from lift_flax.runs.trained import TrainedRun
from lift_flax.train import optim, phases
from tests.support.small_config import small_config

pytestmark = pytest.mark.slow  # a network is trained first

FRAMES, SIZE, KINDS = 8, 32, ("right", "down", "flicker", "grow")
CORNERS = ((1, 1), (1, 17), (17, 1), (17, 17))
STEPS, ROWS = 32, 8
HELD_OUT = (10**6, 64)  # seed and number of clips that nothing is trained on


def corner_clip(kind: int, corner: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [T,32,32,3]: noise, and in one corner the only part that moves, in one of four ways."""
    frames = rng.normal(40, 4, (FRAMES, SIZE, SIZE, 3))
    y, x = CORNERS[corner]
    for t in range(FRAMES):
        if kind == 0:
            frames[t, y : y + 14, x + t + 1 : x + t + 5] += 90
        elif kind == 1:
            frames[t, y + t + 1 : y + t + 5, x : x + 14] += 90
        elif kind == 2:
            frames[t, y + 2 : y + 12, x + 2 : x + 12] += 90 * (t % 2)
        else:
            half = 1 + t // 2
            frames[t, y + 7 - half : y + 7 + half, x + 7 - half : x + 7 + half] += 90
    return frames.clip(0, 255).astype(np.uint8)


def corner_batch(seed: int, rows: int) -> tuple[dict, np.ndarray]:
    """(batch, corner of each row); the class is the kind of motion, and says nothing of the corner."""
    rng = np.random.default_rng(seed)
    kinds, corners = np.arange(rows) % 4, rng.integers(0, 4, rows)
    frames = np.stack([corner_clip(*both, rng) for both in zip(kinds, corners, strict=True)])  # [B, T, H, W, 3]
    return {"clip": frames, "label": kinds.astype(np.int32), "weight": np.ones(rows, np.float32)}, corners


@pytest.fixture(scope="module")
def corners() -> TrainedRun:
    """A student that has learnt to tell the four motions apart, wherever they are."""
    sizes = {"data.num_frames": FRAMES, "model.pvit.patch": 8, "train.batch_size": ROWS}
    config = small_config("tiny,distill=no", **sizes)
    phase = phases.student_phase(config, len(KINDS), None)
    optimizer = optim.make_optimizer(config, lambda step: 1e-3)
    step, state = jax.jit(phase.make_step(phase.network, config, optimizer)), phase.initial_state(optimizer)
    for seed in range(STEPS):
        state, _ = step(
            state, make_eval_streams(jax.tree.map(jnp.asarray, corner_batch(seed, ROWS)[0]), config, len(KINDS))
        )
    network, _ = create(lambda rngs: make_student(config, len(KINDS), rngs), 0)
    return TrainedRun(Path("nowhere"), config, KINDS, {}, "", network, state["params"], state["batch_stats"], 0)


@pytest.fixture(scope="module")
def explainer(corners) -> Explainer:
    return Explainer(corners)


@pytest.fixture(scope="module")
def explained(explainer) -> tuple[list[Explanation], np.ndarray, np.ndarray]:
    """(explanations of clips that were not trained on, kinds, corners)"""
    batch, places = corner_batch(*HELD_OUT)
    return [explainer({"clip": clip}) for clip in batch["clip"]], batch["label"], places


def quadrant(maps: np.ndarray) -> int:
    """Which quarter of the frame has the most of [T, h, w]: 0 upper left, 1 upper right, 2 and 3 below."""
    whole = maps.sum(axis=0)
    half = len(whole) // 2
    return int(whole.reshape(2, half, 2, half).sum(axis=(1, 3)).argmax())


def test_activation_points_to_what_moves(explained):
    found, kinds, places = explained
    assert np.mean([e.label for e in found] == kinds) > 0.85
    assert {e.activation.shape for e in found} == {(4, 4, 4)} and found[0].stage == "layer2"
    assert np.mean([quadrant(e.activation) for e in found] == places) > 0.8  # chance is 0.25


def test_attention_points_to_what_moves(explained):
    found, _, places = explained
    assert np.mean([quadrant(e.attention) for e in found] == places) > 0.9


def test_maps_are_of_the_weights(corners, explained):
    """Adebayo et al., "Sanity Checks for Saliency Maps" (2018): what does not change with the weights shows an edge."""
    found, _, _ = explained
    rng = np.random.default_rng(0)
    params = {
        path: rng.permutation(np.ravel(leaf)).reshape(leaf.shape) for path, leaf in flatten(corners.params).items()
    }
    other = Explainer(dataclasses.replace(corners, params=unflatten(params)))
    batch, _ = corner_batch(*HELD_OUT)
    changed = [other({"clip": clip}, label=e.label) for clip, e in zip(batch["clip"][:16], found, strict=False)]
    # Measured: 0.45, -0.30, -0.44.  A map of the features alone, without the gradient of the class, has 0.75.
    for name, most in (("activation", 0.65), ("attention", 0.2), ("main", 0.2)):
        pairs = [(np.ravel(getattr(a, name)), np.ravel(getattr(b, name))) for a, b in zip(found, changed, strict=False)]
        assert np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]) < most, name


def test_another_class_has_another_map(explainer, explained):
    found, _, _ = explained
    batch, _ = corner_batch(*HELD_OUT)
    best, other = found[0], explainer({"clip": batch["clip"][0]}, label=(found[0].label + 1) % 4)
    assert other.label != best.label and other.probabilities[other.label] < best.probabilities[best.label]
    np.testing.assert_allclose(other.attention, best.attention, rtol=1e-5)
    assert np.corrcoef(np.ravel(other.activation), np.ravel(best.activation))[0, 1] < 0.9
