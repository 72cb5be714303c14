"""Frame sampling, gamma correction and the views."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.config import Augment, Luminous
from lift_flax.data import augment, clips
from lift_flax.data.gamma import gamma_correct, gamma_table

NOTHING = Augment(**{f.name: 0.0 for f in dataclasses.fields(Augment)})
ALWAYS = Augment(
    flip=0.5, affine=1.0, scale=0.1, rotate=10.0, translate=0.06, shear=5.0,
    jitter=1.0, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05,
)  # fmt: skip


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
    assert clips.eval_indices(frames, count).tolist() == expected


@pytest.mark.parametrize("frames", [1, 5, 16, 64, 1000])
def test_train_takes_one_frame_of_each_segment(frames):
    edges = np.linspace(0, frames, 17)
    seen = np.array([clips.train_indices(frames, 16, np.random.default_rng(i)) for i in range(200)])
    assert (np.diff(seen, axis=1) >= 0).all()
    assert (seen >= np.floor(edges[:-1])).all() and (seen <= np.minimum(np.ceil(edges[1:]), frames - 1)).all()
    if frames >= 64:
        assert len(np.unique(seen[:, 0])) > 1


def test_crop_origin_reaches_both_ends():
    assert clips.crop_origin(80, 120, 80, 0.5, 0.0) == (0, 0)
    assert clips.crop_origin(80, 120, 80, 0.5, 1.0) == (0, 40)
    assert clips.crop_origin(81, 120, 80, 0.5, 0.5)[1] == 20


def test_zero_ranges_change_nothing():
    key = jax.random.key(0)
    np.testing.assert_array_equal(augment._warp(_clip(), key, NOTHING), _clip())
    np.testing.assert_array_equal(augment._jitter(_clip(), key, NOTHING), _clip())


def test_flip_mirrors_every_frame():
    always = dataclasses.replace(NOTHING, flip=1.0)
    np.testing.assert_array_equal(augment._warp(_clip(), jax.random.key(0), always), _clip()[:, :, :, ::-1])


def test_one_draw_holds_for_all_frames_of_a_clip():
    frame = _clip(shape=(4, 1, 20, 24, 3))
    still = jnp.repeat(frame, 5, axis=1)
    key = jax.random.key(1)
    out = augment._jitter(augment._warp(still, key, ALWAYS), key, ALWAYS)
    np.testing.assert_array_equal(out, jnp.repeat(out[:, :1], 5, axis=1))
    assert not np.array_equal(out, still)


def test_a_rows_draw_depends_on_its_place_and_key_alone():
    key = jax.random.key(3)
    clip = jnp.repeat(_clip(shape=(1, 3, 20, 24, 3)), 4, axis=0)
    whole = np.asarray(augment._warp(clip, key, ALWAYS))
    np.testing.assert_array_equal(whole[:2], augment._warp(clip[:2], key, ALWAYS))
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(whole[0], augment._warp(clip, jax.random.key(4), ALWAYS)[0])


def test_sampling_between_pixels_is_bilinear():
    clip = jnp.asarray(np.arange(16).reshape(1, 4, 4, 1) * 10, jnp.uint8)
    x, y = jnp.full((4, 4), 1.5), jnp.full((4, 4), 2.5)
    assert (augment.sample(clip, x, y) == round((90 + 100 + 130 + 140) / 4)).all()
    beyond = augment.sample(clip, jnp.full((4, 4), -1.0), jnp.full((4, 4), 4.0))  # reflected to x = 1, y = 2
    assert (beyond == 90).all()


def test_grey_stays_grey_under_hue_and_saturation():
    ranges = dataclasses.replace(NOTHING, jitter=1.0, saturation=0.5, hue=0.5)
    grey = jnp.full((4, 2, 8, 8, 3), 100, jnp.uint8)
    np.testing.assert_array_equal(augment._jitter(grey, jax.random.key(0), ranges), grey)


def test_luminous_view_is_the_lit_dark_view():
    same = augment._light(_clip(), Luminous("gamma", 1.8, 20))
    assert same.shape == (2, 3, 20, 24, 3)
    batch = {"clip": _clip(shape=(2, 3, 24, 24, 3)), "label": jnp.array([1, 0]), "weight": jnp.ones(2)}
    views = augment._views(batch["clip"], batch, Luminous("gamma", 1.8, 12), 3)
    np.testing.assert_array_equal(views["dark"], batch["clip"])
    assert views["luminous"].shape == (2, 3, 12, 12, 3) and views["luminous"].dtype == jnp.uint8
    np.testing.assert_array_equal(views["targets"], [[0, 1, 0], [1, 0, 0]])
