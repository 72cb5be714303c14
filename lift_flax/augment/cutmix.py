"""CutMix: a box of the neighbouring clip in the batch replaces a clip's own (Yun et al. 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8


class Box(NamedTuple):
    """One draw of CutMix.

    Attributes:
      edges: [4] (top, bottom, left, right) of the box in whole pixels, clipped to the frame; empty where not drawn.
      share: [] exact area of the clipped box, as a share of the frame.
    """

    edges: Array
    share: Array


def draw_box(key: Key[Array, ""], probability: float, height: int, width: int) -> Box:
    """Draws a row's box.

    The box before clipping has the frame's aspect and the share 1 - lambda of its area, lambda from Beta(1, 1), which
    is the uniform distribution; its centre is uniform over the frame.
    """
    use_key, area_key, centre_key = jax.random.split(key, 3)
    side = jnp.array([height, width], float)
    half = jnp.sqrt(jax.random.uniform(area_key)) * side / 2
    centre = jax.random.uniform(centre_key, (2,)) * side
    start = jnp.clip(jnp.round(centre - half), 0, side)
    stop = jnp.clip(jnp.round(centre + half), 0, side)
    box = jnp.stack([start, stop], axis=1).reshape(4).astype(jnp.int32)  # [2, 2] -> [4]
    top, bottom, left, right = edges = box * jax.random.bernoulli(use_key, probability).astype(box.dtype)
    return Box(edges, (bottom - top) * (right - left) / (height * width))


def paste(clips: UInt8[Array, "B T H W C"], boxes: Int[Array, "B 4"]) -> UInt8[Array, "B T H W C"]:
    """Fills each row's box, in every frame, from the row before it (the first row's from the last).

    A fixed shift of the rows only moves the edges of each device's share; a random permutation would gather them all.
    """
    inside = jax.vmap(lambda box: _inside(box, *clips.shape[2:4]))(boxes)
    return jnp.where(inside[:, None, :, :, None], jnp.roll(clips, 1, axis=0), clips)  # [B, 1, H, W, 1] in the condition


def mix_targets(targets: Float[Array, "B K"], shares: Float[Array, "B"]) -> Float[Array, "B K"]:
    """Soft labels: the partner's share is that of the box."""
    share = shares[:, None]  # [B, 1]
    return targets * (1 - share) + jnp.roll(targets, 1, axis=0) * share


def _inside(box: Int[Array, "4"], height: int, width: int) -> Bool[Array, "H W"]:
    top, bottom, left, right = box
    rows, columns = jnp.arange(height), jnp.arange(width)
    return ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))[None]
