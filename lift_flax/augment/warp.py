"""The geometric warp of a clip: flip, affine, optical and elastic distortion as one field and one bilinear sampling.

A field says where each output pixel p comes from: p1 = p + elastic(p), p2 = optical(p1), source = matrix p2 + shift.
`coordinates` needs no clip, so the same field can drive another sampler (cv2.remap with BORDER_REFLECT_101).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from lift_flax.augment.is_drawn import is_drawn
from lift_flax.config import Augment
from lift_flax.video import flow_codes

GRID = 7  # points of the elastic grid along each side
REFERENCE_SIDE = 224  # px: the side for which lengths in the config are meant


class Warp(NamedTuple):
    """One draw.  Positions are (x, y) in pixels from the frame's centre.

    Attributes:
      matrix: [2, 2], the inverse affine map; a flip is a sign in its first column.
      shift: [2] px, added after the matrix.
      optical: k of the radial distortion r -> r (1 + k r^2 + k r^4); r is 1 at one side's length from the centre.
      elastic: [GRID, GRID, 2] px (x, y), displacements of a coarse grid over the frame.
    """

    matrix: Array
    shift: Array
    optical: Array
    elastic: Array


def draw_warp(key: Key[Array, ""], ranges: Augment, height: int, width: int) -> Warp:
    """Draws the four parts, each with its own probability; a part that is not drawn is the identity."""
    flip_key, use_key, draw_key, use_optical, draw_optical, use_elastic, draw_elastic = jax.random.split(key, 7)
    u = jax.random.uniform(draw_key, (5,), minval=-1, maxval=1) * is_drawn(use_key, ranges.affine)
    mirror = 1 - 2 * is_drawn(flip_key, ranges.flip)
    zoom = 1 + ranges.scale * u[0]
    turn, shear = jnp.deg2rad(ranges.rotate * u[1]), jnp.tan(jnp.deg2rad(ranges.shear * u[2]))
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    matrix = jnp.array([[cos * mirror, cos * mirror * shear - sin], [sin * mirror, sin * mirror * shear + cos]]) / zoom
    side = jnp.array([width, height], float)
    shift = ranges.translate * side * u[3:5]
    optical = ranges.optical_k * jax.random.uniform(draw_optical, minval=-1, maxval=1)
    optical *= is_drawn(use_optical, ranges.optical)
    elastic = ranges.elastic_std * side[None, None] / REFERENCE_SIDE * jax.random.normal(draw_elastic, (GRID, GRID, 2))
    elastic *= is_drawn(use_elastic, ranges.elastic)
    return Warp(matrix, shift, optical, elastic)


def coordinates(warp: Warp, height: int, width: int) -> tuple[Float[Array, "H W"], Float[Array, "H W"]]:
    """Where each output pixel comes from: (x, y) in pixels of the source, which may lie outside it."""
    cx, cy = (width - 1) / 2, (height - 1) / 2
    rows, columns = jnp.arange(height, dtype=float), jnp.arange(width, dtype=float)
    y, x = jnp.meshgrid(rows - cy, columns - cx, indexing="ij")  # [H, W], from the centre
    elastic = jax.image.resize(warp.elastic, (height, width, 2), "cubic")  # [GRID, GRID, 2] -> [H, W, 2]
    x, y = x + elastic[..., 0], y + elastic[..., 1]
    r2 = (x / width) ** 2 + (y / height) ** 2
    radial = 1 + warp.optical * (r2 + r2**2)
    x, y = x * radial, y * radial
    (a, b), (c, d) = warp.matrix
    return a * x + b * y + warp.shift[0] + cx, c * x + d * y + warp.shift[1] + cy


def warp_clip(clip: UInt8[Array, "T H W C"], warp: Warp) -> UInt8[Array, "T H W C"]:
    """Warps every frame in the same way."""
    return sample(clip, *coordinates(warp, *clip.shape[1:3]))


def sample_flow(flow: UInt8[Array, "T H W 2"], warp: Warp) -> Float[Array, "T H W 2"]:
    """Coded flow sampled through the field that `warp_clip` takes: codes with no motion at 0."""
    return _interpolate(flow, *coordinates(warp, *flow.shape[1:3])) - flow_codes.ZERO


def turn_flow(moved: Float[Array, "T H W 2"], warp: Warp) -> UInt8[Array, "T H W 2"]:
    """Turns the vectors of `sample_flow` with the picture, and codes them.

    Where the affine takes its source from M p + c, a displacement d becomes M^-1 d.  The optical and the elastic part
    move the vectors and leave their directions and lengths as they are.
    """
    (a, b), (c, d) = warp.matrix
    determinant = a * d - b * c
    u, v = moved[..., 0], moved[..., 1]  # two of [T, H, W]
    turned = jnp.stack([(d * u - b * v) / determinant, (a * v - c * u) / determinant], axis=-1)
    steps = jnp.clip(jnp.round(turned), -flow_codes.STEPS, flow_codes.STEPS)
    return (steps + flow_codes.ZERO).astype(jnp.uint8)


def sample(clip: UInt8[Array, "T H W C"], x: Float[Array, "H W"], y: Float[Array, "H W"]) -> UInt8[Array, "T H W C"]:
    """Bilinear sampling of every frame at (x, y), borders reflected."""
    return jnp.round(_interpolate(clip, x, y)).astype(clip.dtype)


def _interpolate(clip, x: Float[Array, "H W"], y: Float[Array, "H W"]) -> Float[Array, "T H W C"]:
    height, width = clip.shape[1:3]
    x, y = _reflect(x, width), _reflect(y, height)
    left, top = jnp.floor(x), jnp.floor(y)
    fx, fy = (x - left)[..., None], (y - top)[..., None]  # [H, W, 1]
    x0, y0 = left.astype(jnp.int32), top.astype(jnp.int32)
    x1, y1 = jnp.minimum(x0 + 1, width - 1), jnp.minimum(y0 + 1, height - 1)

    def one_frame(frame):
        def at(rows, columns):
            return frame[rows, columns].astype(jnp.float32)

        top = at(y0, x0) * (1 - fx) + at(y0, x1) * fx
        bottom = at(y1, x0) * (1 - fx) + at(y1, x1) * fx
        return top * (1 - fy) + bottom * fy

    return jax.vmap(one_frame)(clip)


def _reflect(position: Float[Array, "H W"], length: int) -> Float[Array, "H W"]:
    """Mirrors positions beyond 0 and length - 1 back inside."""
    last = max(length - 1, 1)
    folded = jnp.mod(position, 2 * last)
    return jnp.clip(jnp.minimum(folded, 2 * last - folded), 0, length - 1)
