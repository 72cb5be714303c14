"""The fused warp against its parts, against OpenCV, and what it does to flow."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.augment import warp
from lift_flax.video import flow_codes, sampling
from lift_flax.video.decode import count_frames, decode_frames
from tests import ROOT
from tests.support.augment_tools import NOTHING, all_flow, noise, only, smooth_clip, stage_frames

PARTS = ("flip", "affine", "optical", "elastic")
ALL = only(*PARTS)


def _draw(seed: int, side: int, ranges=ALL) -> warp.Warp:
    return warp.draw_warp(jax.random.key(seed), ranges, side, side)


def _part(drawn: warp.Warp, *names: str) -> warp.Warp:
    nothing = warp.Warp(jnp.eye(2), jnp.zeros(2), jnp.zeros(()), jnp.zeros_like(drawn.elastic))
    return nothing._replace(**{name: getattr(drawn, name) for name in names})


def _inside(drawn: warp.Warp, side: int) -> np.ndarray:
    x, y = (np.asarray(c) for c in warp.coordinates(drawn, side, side))
    return (np.minimum(x, y) > 2) & (np.maximum(x, y) < side - 3)


@pytest.mark.parametrize("seed", range(4))
def test_one_sampling_is_three_samplings(seed):
    """Affine, optical and elastic distortion one after another, each a bilinear sampling of the one before."""
    side, clip = 96, smooth_clip()
    drawn = _draw(seed, side)
    apart = jnp.asarray(clip, jnp.float32)
    for names in (("matrix", "shift"), ("optical",), ("elastic",)):
        apart = warp._interpolate(apart, *warp.coordinates(_part(drawn, *names), side, side))
    fused = warp.sample(jnp.asarray(clip), *warp.coordinates(drawn, side, side))
    inside = _inside(_part(drawn, "elastic"), side) & _inside(_part(drawn, "elastic", "optical"), side)
    inside &= _inside(drawn, side)
    assert inside.mean() > 0.6
    assert np.abs(np.asarray(apart) - np.asarray(fused, np.float32))[:, inside].max() <= 1
    assert np.abs(np.asarray(fused, np.float32) - clip)[:, inside].mean() > 10  # it was a warp


def _against_opencv(clip: np.ndarray, seed: int) -> np.ndarray:
    cv2 = pytest.importorskip("cv2")
    x, y = warp.coordinates(_draw(seed, clip.shape[1]), *clip.shape[1:3])
    ours = np.asarray(warp.sample(jnp.asarray(clip), x, y), int)
    maps = np.asarray(x, np.float32), np.asarray(y, np.float32)
    theirs = np.stack([cv2.remap(f, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101) for f in clip])
    return np.abs(ours - theirs)


@pytest.mark.parametrize("seed", range(3))
def test_sampling_is_opencvs(seed):
    assert _against_opencv(smooth_clip(), seed).max() <= 1


def test_sampling_of_real_dark_clips_is_opencvs(real_data):
    paths = sorted((real_data / "arid_subset" / "clips").glob("*/*.mp4"))[::60]
    assert paths
    for seed, path in enumerate(paths):
        frames = decode_frames(path, sampling.eval_indices(count_frames(path), 3), 224)[:, :, :224]
        assert _against_opencv(frames, seed).max() <= 1, path


def test_sampling_between_pixels_is_bilinear():
    clip = jnp.asarray(np.arange(16).reshape(1, 4, 4, 1) * 10, jnp.uint8)
    x, y = jnp.full((4, 4), 1.5), jnp.full((4, 4), 2.5)
    assert (warp.sample(clip, x, y) == round((90 + 100 + 130 + 140) / 4)).all()
    beyond = warp.sample(clip, jnp.full((4, 4), -1.0), jnp.full((4, 4), 4.0))  # reflected to x = 1, y = 2
    assert (beyond == 90).all()


def test_flip_mirrors_every_frame_and_twice_is_nothing():
    clip, key = noise(), jax.random.key(0)
    once = stage_frames("flip", clip, key, only("flip"))
    np.testing.assert_array_equal(once, clip[:, :, :, ::-1])
    np.testing.assert_array_equal(stage_frames("flip", once, key, only("flip")), clip)


def test_elastic_moves_by_the_stated_pixels():
    """The grid's points move by `elastic_std` at side 224, and by the same share of any other side."""
    for side in (224, 56):
        moves = np.stack([_draw(seed, side, only("elastic")).elastic for seed in range(60)])
        assert moves.std() * 224 / side == pytest.approx(ALL.elastic_std, rel=0.05)
    x, y = warp.coordinates(_draw(0, 224, only("elastic")), 224, 224)
    assert 1 < np.std(np.asarray(x) - np.arange(224)) < 4 and 1 < np.std(np.asarray(y) - np.arange(224)[:, None]) < 4


def test_optical_distortion_is_radial_and_within_its_range():
    ks = np.array([_draw(seed, 224, only("optical")).optical for seed in range(60)])
    assert np.abs(ks).max() <= ALL.optical_k and np.abs(ks).max() > 0.9 * ALL.optical_k and ks.min() < 0 < ks.max()
    drawn = _part(_draw(0, 101), "optical")._replace(optical=jnp.float32(0.1))
    x, y = (np.asarray(c) - 50 for c in warp.coordinates(drawn, 101, 101))
    r = 50 / 101
    assert x[50, 100] == pytest.approx(50 * (1 + 0.1 * (r**2 + r**4)), rel=1e-5)
    assert y[50, 100] == x[50, 50] == y[50, 50] == 0


def _warp_flow(codes, key, ranges):
    return np.asarray(all_flow(jnp.asarray(codes), key, ranges))


def test_codes_of_flow():
    values = np.array([0.0, 0.1, -0.1, 20, -20, 31, -31, 3.7])
    codes = flow_codes.encode(values)
    assert codes.tolist() == [128, 129, 127, 255, 1, 255, 1, 151]
    np.testing.assert_array_equal(flow_codes.encode(-values), 256 - codes.astype(int))
    back = np.clip(values, -20, 20)
    np.testing.assert_allclose(flow_codes.decode(codes), back, atol=10 / 127 + 1e-6)
    everything = np.arange(1, 256).astype(np.uint8)
    np.testing.assert_array_equal(flow_codes.encode(flow_codes.decode(everything)), everything)


def test_the_code_of_flow_needs_no_jax():
    """Data preparation imports it, and its processes must start fast."""
    program = "import sys; import lift_flax.video.flow_codes; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_flow_of_a_flipped_clip_is_the_flipped_flow():
    codes = jnp.maximum(noise(shape=(2, 3, 20, 24, 2)), 1)
    out = _warp_flow(codes, jax.random.key(0), only("flip"))
    mirrored = np.asarray(codes)[:, :, :, ::-1].astype(int)
    np.testing.assert_array_equal(out[..., 0], 256 - mirrored[..., 0])
    np.testing.assert_array_equal(out[..., 1], mirrored[..., 1])


def test_no_motion_stays_no_motion():
    still = jnp.full((8, 2, 40, 40, 2), flow_codes.ZERO, jnp.uint8)
    for seed in range(3):
        assert (_warp_flow(still, jax.random.key(seed), only(*PARTS, "cutmix", "shuffle")) == flow_codes.ZERO).all()


def test_zero_ranges_leave_flow_as_it_is():
    codes = jnp.maximum(noise(shape=(2, 3, 20, 24, 2)), 1)
    np.testing.assert_array_equal(_warp_flow(codes, jax.random.key(0), NOTHING), codes)
    np.testing.assert_array_equal(
        _warp_flow(codes, jax.random.key(0), only("affine", scale=0.0, rotate=0.0, translate=0.0, shear=0.0)), codes
    )


def _measured_motion(before: np.ndarray, after: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(x, y) px that a picture moved by, the same everywhere: Gauss-Newton on the difference, from `start`."""
    side = len(before)
    y, x = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32), indexing="ij")
    middle = (slice(side // 4, -side // 4),) * 2
    motion = np.array(start, float)
    for _ in range(12):
        moved = warp._interpolate(jnp.asarray(before)[None], jnp.asarray(x - motion[0]), jnp.asarray(y - motion[1]))
        moved = np.asarray(moved)[0].mean(axis=-1)
        slopes = np.stack([-np.gradient(moved, axis=1)[middle].ravel(), -np.gradient(moved, axis=0)[middle].ravel()], 1)
        motion += np.linalg.lstsq(slopes, (after.mean(axis=-1) - moved)[middle].ravel(), rcond=None)[0]
    return motion


@pytest.mark.parametrize("seed", range(4))
def test_flow_is_the_motion_of_the_warped_clip(seed):
    """A texture moves by (3, -2) px a frame; after flip, turn, zoom and shear its measured motion is the new flow."""
    step, key = (3.0, -2.0), jax.random.key(seed)
    ranges = only("affine", "flip", rotate=40.0, scale=0.3, shear=15.0, translate=0.02)
    clip = jnp.asarray(smooth_clip(2, 96, step))[None]  # [1, 2, 96, 96, 3]
    codes = jnp.asarray(np.broadcast_to(flow_codes.encode(np.array(step)), (1, 2, 96, 96, 2)))
    moved = np.asarray(stage_frames("flip", clip, key, ranges), np.float32)[0]
    claimed = flow_codes.decode(_warp_flow(codes, key, ranges))[0, 0]
    assert np.ptp(claimed, axis=(0, 1)).max() < 1e-6
    measured = _measured_motion(moved[0], moved[1], start=np.zeros(2))
    np.testing.assert_allclose(claimed[0, 0], measured, atol=2 * 20 / 127)
    assert np.abs(measured - step).max() > 1  # the untouched flow would be wrong
