"""Clips photographed again: light, noise and curve are the camera model's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.augment import exposure
from lift_flax.video import camera
from tests.support.augment_tools import noise, only, stage_frames

KEY = jax.random.key(3)


def test_the_curve_is_the_cameras():
    linear = np.linspace(-0.1, 1.2, 5001, dtype=np.float32)
    found = np.asarray(exposure.to_srgb(jnp.asarray(linear))).astype(int)
    assert np.abs(found - camera.to_srgb(linear)).max() <= 1 and np.mean(found == camera.to_srgb(linear)) > 0.99


@pytest.mark.parametrize("ranges", [
    {"exposure_darker": 3.0, "exposure_lighter": 0.0}, {"exposure_darker": 0.0, "exposure_lighter": 3.0},
])  # fmt: skip
def test_light_and_noise_are_those_of_the_model(ranges):
    """Of a still grey clip of many frames: the mean level, and the deviation that the camera predicts."""
    settings = only("exposure", exposure_well=500.0, exposure_wells=1.0, **ranges)
    level = np.full((1, 1, 1, 3), 90, np.uint8)
    clip = jnp.asarray(np.broadcast_to(level, (400, 8, 8, 3)))
    _, camera_key, _ = jax.random.split(KEY, 3)
    gain, well, read_noise = (float(x) for x in exposure.draw_camera(camera_key, settings))
    assert well == pytest.approx(500, rel=1e-5) and 0 <= read_noise <= settings.exposure_read_noise
    assert 2 ** -ranges["exposure_darker"] <= gain <= 2 ** ranges["exposure_lighter"] and gain != 1
    found = np.asarray(exposure.expose(clip, KEY, settings))
    expected = camera.expose(
        camera.to_linear(np.asarray(clip)), camera.Camera(gain, full_well=well, read_noise=read_noise),
        np.random.default_rng(0),
    )  # fmt: skip
    assert found.mean() == pytest.approx(expected.mean(), abs=0.2)
    assert found.std() == pytest.approx(expected.std(), rel=0.03) and found.std() > 1


def test_one_camera_for_a_clip_and_new_noise_in_every_frame():
    still = jnp.repeat(noise(shape=(4, 1, 20, 24, 3)) // 2 + 30, 6, axis=1)
    settings = only("exposure", exposure_darker=2.0, exposure_lighter=0.5)
    found = np.asarray(stage_frames("exposure", still, KEY, settings)).astype(float)
    of_frames = found.mean(axis=(2, 3, 4))  # [B, T]
    assert of_frames.std(axis=1).max() < 0.5 < 5 < of_frames.mean(axis=1).std()
    assert all((found[0, t] != found[0, t + 1]).mean() > 0.3 for t in range(5))


def test_without_a_range_and_without_noise_a_clip_stays_as_it_is():
    clip = noise(shape=(2, 3, 20, 24, 3))
    quiet = {"exposure_well": 1e12, "exposure_wells": 1.0, "exposure_read_noise": 0.0}
    settings = only("exposure", exposure_darker=0.0, exposure_lighter=0.0, **quiet)
    found = np.asarray(stage_frames("exposure", clip, KEY, settings)).astype(int)
    assert np.abs(found - np.asarray(clip)).max() <= 1
