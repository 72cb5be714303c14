"""The camera model: exact where it must be, and noise of the variance it promises."""

import math

import numpy as np
import pytest

from lift_flax.video.camera import Camera, Relight, expose, noise_variance, re_expose, to_linear, to_srgb


def test_srgb_round_trip_is_exact():
    codes = np.arange(256, dtype=np.uint8)
    linear = to_linear(codes)
    assert linear.dtype == np.float32 and linear[0] == 0.0 and linear[255] == 1.0
    np.testing.assert_array_equal(to_srgb(linear), codes)


def test_srgb_curve_at_known_points():
    np.testing.assert_allclose(to_linear(np.array([10, 128, 188], np.uint8)), [0.003035, 0.215861, 0.502886], atol=1e-6)
    np.testing.assert_array_equal(to_srgb(np.array([-1.0, 0.5, 7.0])), [0, 188, 255])


def test_linear_light_needs_codes():
    with pytest.raises(TypeError, match="uint8"):
        to_linear(np.zeros(3, np.float32))


def test_unit_exposure_without_noise_is_the_identity():
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(re_expose(frames, Camera(), np.random.default_rng(1)), frames)


def test_half_exposure_halves_linear_light():
    scene = np.random.default_rng(0).uniform(0.1, 0.9, (2, 32, 32, 3)).astype(np.float32)
    means = [to_linear(expose(scene, Camera(x), np.random.default_rng(1))).mean() for x in (1.0, 0.5)]
    assert means[1] / means[0] == pytest.approx(0.5, rel=0.01)


def test_white_balance_scales_each_channel():
    scene = np.full((1, 4, 4, 3), 0.2, np.float32)
    seen = to_linear(expose(scene, Camera(white_balance=(1.0, 0.5, 2.0)), np.random.default_rng(0)))
    np.testing.assert_allclose(seen[0, 0, 0], [0.2, 0.1, 0.4], rtol=0.02)


@pytest.mark.parametrize("level", [0.1, 0.4])
def test_noise_variance_follows_the_model(level):
    camera = Camera(exposure=0.5, full_well=800.0, read_noise=6.0)
    scene = np.full((4, 100, 100, 3), level, np.float32)
    seen = to_linear(expose(scene, camera, np.random.default_rng(2))).astype(np.float64)
    expected = level * 0.5 / 800 + (6 / 800) ** 2
    assert noise_variance(np.array([level * 0.5]), camera) == pytest.approx(expected)
    assert seen.var() == pytest.approx(expected, rel=0.05)
    assert seen.mean() == pytest.approx(level * 0.5, rel=0.01)


def test_noise_comes_from_the_generator_alone():
    scene, camera = np.full((2, 8, 8, 3), 0.1, np.float32), Camera(full_well=500.0)
    first, again, other = (expose(scene, camera, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("wrong", [{"exposure": -1.0}, {"full_well": 0.0}, {"read_noise": -1.0}])
def test_impossible_cameras_are_refused(wrong):
    with pytest.raises(ValueError, match="negative"):
        Camera(**wrong)
    assert math.isinf(Camera().full_well)


def test_the_noise_of_a_clip_is_its_own():
    frames = np.full((2, 8, 8, 3), 60, np.uint8)
    light = Relight(Camera(exposure=0.5, full_well=800.0, read_noise=6.0))
    np.testing.assert_array_equal(light(frames, "a"), light(frames, "a"))
    assert (light(frames, "a") != light(frames, "b")).any()
    assert light(frames, "a").mean() < 50
