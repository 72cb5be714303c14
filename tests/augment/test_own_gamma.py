"""A gamma of each clip's own: the one that brings its mean luma nearest to the target, the same everywhere."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.augment.streams import clip_streams, luma_histogram
from lift_flax.video import gamma
from tests.support.small_config import small_config

TARGET = 58.0


def _clips() -> np.ndarray:
    """uint8 [4, 5, 24, 24, 3]: by night, at dusk, by day, overexposed."""
    rng = np.random.default_rng(0)
    return np.stack(
        [rng.integers(0, top, (5, 24, 24, 3)) + low for low, top in ((0, 25), (5, 90), (30, 220), (180, 70))]
    )


def _luma(clip: np.ndarray) -> float:
    return float((clip.astype(float) @ np.array(gamma.LUMA)).mean())


def test_a_histogram_has_the_luma_of_its_clip():
    for clip in _clips().astype(np.uint8):
        histogram = gamma.luma_histogram(clip)
        np.testing.assert_allclose(luma_histogram(jnp.asarray(clip)), histogram, atol=1e-6)
        assert histogram.sum() == pytest.approx(1) and histogram @ np.arange(256) == pytest.approx(_luma(clip))


def test_each_clip_is_lit_to_the_target_as_far_as_tables_reach():
    """No other table comes nearer, and neighbouring tables differ by less than three levels here."""
    for clip in _clips().astype(np.uint8):
        lit = gamma.light(clip, 1.8, TARGET)
        others = [abs(_luma(table[clip]) - TARGET) for table in gamma.gamma_tables()]
        assert abs(_luma(lit) - TARGET) == pytest.approx(min(others), abs=1e-6)
        assert abs(_luma(lit) - TARGET) < 3 or others.index(min(others)) in (0, 127)


def test_streams_are_lit_as_pictures_are():
    config = small_config(**{"model.luminous.gamma_target": TARGET})
    clips = _clips().astype(np.uint8)
    found = clip_streams({"clip": jnp.asarray(clips)}, dataclasses.replace(config, model=dataclasses.replace(
        config.model, luminous=dataclasses.replace(config.model.luminous, size=24))))["luminous"]  # fmt: skip
    for lit, clip in zip(np.asarray(found), clips, strict=True):
        np.testing.assert_array_equal(lit, gamma.light(clip, 1.8, TARGET))


def test_a_black_clip_stays_black():
    black = np.zeros((3, 8, 8, 3), np.uint8)
    assert not gamma.light(black, 1.8, TARGET).any()
