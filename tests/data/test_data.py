"""Frame sampling and gamma correction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.augment.streams import gamma_correct
from lift_flax.video import sampling
from lift_flax.video.gamma import gamma_table


def _clip(seed: int = 0, shape=(2, 3, 20, 24, 3)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape), jnp.uint8)


@pytest.mark.parametrize(("gamma", "total", "some"), [
    (1.8, 41801, {0: 0, 1: 11, 2: 17, 3: 21, 5: 28, 10: 42, 16: 54, 20: 61, 32: 80, 50: 103, 64: 118, 100: 151,
                  128: 173, 150: 189, 200: 222, 254: 254, 255: 255}),
    (2.0, 43334, {1: 15, 10: 50, 64: 127, 128: 180}),
    (10.0, 59054, {1: 146, 64: 222}),
])  # fmt: skip
def test_gamma_table_is_darklights(gamma, total, some):
    table = gamma_table(gamma)
    assert table.astype(int).sum() == total
    assert {i: int(table[i]) for i in some} == some


def test_gamma_one_is_the_identity():
    np.testing.assert_array_equal(gamma_correct(_clip(), 1.0), _clip())


@pytest.mark.parametrize(("frames", "count", "expected"), [
    (30, 30, list(range(30))),
    (1, 4, [0, 0, 0, 0]),  # a single frame
    (3, 6, [0, 0, 1, 1, 2, 2]),  # fewer frames than wanted
    (64, 4, [8, 24, 40, 56]),
])  # fmt: skip
def test_eval_takes_segment_centres(frames, count, expected):
    assert sampling.eval_indices(frames, count).tolist() == expected


@pytest.mark.parametrize("frames", [1, 5, 16, 64, 1000])
def test_train_takes_one_frame_of_each_segment(frames):
    edges, timing = np.linspace(0, frames, 17), sampling.Timing.even(frames, 30.0)
    seen = np.array([timing.drawn(16, np.random.default_rng(i)) for i in range(200)])
    assert (np.diff(seen, axis=1) >= 0).all()
    assert (seen >= np.floor(edges[:-1])).all() and (seen <= np.minimum(np.ceil(edges[1:]), frames - 1)).all()
    if frames >= 64:
        assert len(np.unique(seen[:, 0])) > 1


def test_crop_origin_reaches_both_ends():
    assert sampling.crop_origin(80, 120, 80, 0.5, 0.0) == (0, 0)
    assert sampling.crop_origin(80, 120, 80, 0.5, 1.0) == (0, 40)
    assert sampling.crop_origin(81, 120, 80, 0.5, 0.5)[1] == 20
