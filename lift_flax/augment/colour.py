"""Colour jitter: brightness, contrast, saturation and hue as one 3x4 matrix per clip."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from lift_flax.augment.is_drawn import is_drawn
from lift_flax.config import Augment
from lift_flax.video.gamma import LUMA


def jitter(clip: UInt8[Array, "T H W 3"], key: Key[Array, ""], ranges: Augment) -> UInt8[Array, "T H W 3"]:
    """Changes the colours of all frames by one draw."""
    m, offset = colour_matrix(key, ranges, clip.astype(jnp.float32).mean())
    r, g, b = (clip[..., i].astype(jnp.float32) for i in range(3))  # three of [T, H, W]
    channels = [m[i, 0] * r + m[i, 1] * g + m[i, 2] * b + offset for i in range(3)]
    return jnp.clip(jnp.round(jnp.stack(channels, axis=-1)), 0, 255).astype(jnp.uint8)


def colour_matrix(key: Key[Array, ""], ranges: Augment, mean: Float[Array, ""]) -> tuple[Array, Array]:
    """(matrix [3, 3], offset) of one draw of the colour jitter; `mean` is the clip's level, the pivot of contrast."""
    use_key, draw_key = jax.random.split(key)
    u = jax.random.uniform(draw_key, (4,), minval=-1, maxval=1) * is_drawn(use_key, ranges.jitter)
    brightness, contrast = 1 + ranges.brightness * u[0], 1 + ranges.contrast * u[1]
    saturation, angle = 1 + ranges.saturation * u[2], 2 * jnp.pi * ranges.hue * u[3]
    grey = jnp.tile(jnp.array(LUMA), (3, 1))
    saturate = saturation * jnp.eye(3) + (1 - saturation) * grey
    # Rotation about the grey axis: Rodrigues' formula with the axis (1, 1, 1)/sqrt(3).
    cross = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / jnp.sqrt(3.0)
    turn = jnp.cos(angle) * jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) / 3
    return contrast * brightness * saturate @ turn, (1 - contrast) * mean * brightness
