"""Rain that falls: streaks whose drops keep one speed and one slant per clip, while the scene behind them is darker.

No drop is drawn.  Each pixel asks how far it is behind the last drop of its column, columns being sheared along the
slant and each having drops at one distance with a phase of its own.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from lift_flax.augment.is_drawn import is_drawn
from lift_flax.augment.warp import REFERENCE_SIDE
from lift_flax.config import Augment

LEVEL = 200  # of 255, of a streak
SPACING = 600  # px between the drops of a column, at side 224: about 80 streaks in a frame
STRENGTH = (0.1, 0.6)  # largest opacity of a column's streaks: drops are near or far


class Rain(NamedTuple):
    """One draw; lengths in pixels of the clip.

    Attributes:
      slant: columns per row.
      phases: [N] px, where the drops of each column start.
      strengths: [N] the largest opacity of its streaks.
      speed: rows per frame.
      length: rows of a streak.
      spacing: rows from one drop of a column to the next.
    """

    slant: Array
    phases: Array
    strengths: Array
    speed: float
    length: float
    spacing: float


def draw_rain(key: Key[Array, ""], ranges: Augment, height: int, width: int) -> Rain:
    """Draws the slant, the phases and the strengths."""
    slant_key, phase_key, strength_key = jax.random.split(key, 3)
    scale = height / REFERENCE_SIDE
    slant = jnp.tan(jnp.deg2rad(ranges.rain_slant) * jax.random.uniform(slant_key, minval=-1, maxval=1))
    columns = width + math.ceil(height * math.tan(math.radians(ranges.rain_slant))) + 2
    phases = jax.random.uniform(phase_key, (columns,)) * SPACING * scale
    strengths = jax.random.uniform(strength_key, (columns,), minval=STRENGTH[0], maxval=STRENGTH[1])
    return Rain(slant, phases, strengths, ranges.rain_speed * scale, ranges.rain_length * scale, SPACING * scale)


def opacity(rain: Rain, x: Float[Array, "*dims"], y: Float[Array, "*dims"], t: Array) -> Float[Array, "*dims"]:
    """How much of a streak covers the point (x, y) px of frame t, from 0 to 1; it blends between two columns."""
    column = x - rain.slant * y
    left = jnp.floor(column)
    fade = max(rain.length / 4, 1)  # px at either end of a streak

    def streak(number):
        index = number.astype(jnp.int32) % len(rain.phases)
        fallen = y - rain.speed * t + rain.phases[index]
        behind = fallen - rain.spacing * jnp.floor(fallen / rain.spacing)
        return rain.strengths[index] * jnp.clip(jnp.minimum(behind, rain.length - behind) / fade, 0, 1)

    return streak(left) * (left + 1 - column) + streak(left + 1) * (column - left)


def rain(clip: UInt8[Array, "T H W 3"], key: Key[Array, ""], ranges: Augment) -> UInt8[Array, "T H W 3"]:
    """Draws one rain in front of all frames, or none."""
    use_key, draw_key = jax.random.split(key)
    frames, height, width = clip.shape[:3]
    rows, columns = jnp.arange(height, dtype=float), jnp.arange(width, dtype=float)
    y, x = jnp.meshgrid(rows, columns, indexing="ij")  # [H, W]
    draw = draw_rain(draw_key, ranges, height, width)
    use = is_drawn(use_key, ranges.rain)
    cover = jax.vmap(lambda t: opacity(draw, x, y, t))(jnp.arange(frames, dtype=float))[..., None] * use  # [T, H, W, 1]
    scene = clip.astype(jnp.float32) * (1 - ranges.rain_darken * use)
    return jnp.round(scene + (LEVEL - scene) * cover).astype(jnp.uint8)
