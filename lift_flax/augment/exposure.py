"""Exposure: a clip photographed again in more or less light, by the camera model of lift_flax/video/camera.py.

    linear light -> gain -> shot noise + read noise -> saturation -> sRGB curve -> 8 bit

Gain and camera are drawn once for a clip; the noise is a sensor's, new in every pixel of every frame.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from lift_flax.augment.is_drawn import is_drawn
from lift_flax.config import Augment
from lift_flax.video.camera import to_linear


def expose(clip: UInt8[Array, "T H W 3"], key: Key[Array, ""], ranges: Augment) -> UInt8[Array, "T H W 3"]:
    """Photographs all frames again with one camera and one exposure.  The clip keeps its own noise."""
    use_key, camera_key, noise_key = jax.random.split(key, 3)
    gain, full_well, read_noise = draw_camera(camera_key, ranges)
    signal = jnp.asarray(to_linear(np.arange(256, dtype=np.uint8)))[clip] * gain  # [T, H, W, 3]
    deviation = jnp.sqrt(signal / full_well + (read_noise / full_well) ** 2)
    noise = jax.random.normal(noise_key, (clip.size,)).reshape(clip.shape)  # drawn flat: in less than half the time
    signal = signal + deviation * noise
    return jnp.where(is_drawn(use_key, ranges.exposure), to_srgb(signal), clip)


def draw_camera(key: Key[Array, ""], ranges: Augment) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """(gain, electrons of a full well, read noise in electrons) of one clip; gain and well even in their logarithm."""
    u = jax.random.uniform(key, (3,))
    stops = -ranges.exposure_darker + u[0] * (ranges.exposure_darker + ranges.exposure_lighter)
    well = jnp.log(ranges.exposure_well) + u[1] * jnp.log(ranges.exposure_wells)
    return 2.0**stops, jnp.exp(well), u[2] * ranges.exposure_read_noise


def to_srgb(linear: Float[Array, "*dims"]) -> UInt8[Array, "*dims"]:
    """Linear light, clipped to [0, 1], as sRGB codes."""
    linear = jnp.clip(linear, 0, 1)
    curve = jnp.where(linear <= 0.0031308, 12.92 * linear, 1.055 * jnp.maximum(linear, 1e-4) ** (1 / 2.4) - 0.055)
    return jnp.round(255 * curve).astype(jnp.uint8)
