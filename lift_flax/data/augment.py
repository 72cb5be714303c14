"""From a batch of uint8 clips to the views that the model sees, on the device.

Train: one geometric warp (flip and affine together), colour jitter, then the luminous view is made from the augmented
dark one, so both pathways see the same scene.  Every draw is made once per clip and holds for all its frames.  The
stages are jitted one by one: on a CPU, XLA makes one large jit of them four to five times slower.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from lift_flax.config import Augment, Config, Luminous
from lift_flax.data.gamma import gamma_correct

Views = dict[str, Array]
Clips = UInt8[Array, "B T H W 3"]


def make_train_views(batch: dict[str, Array], key: Key[Array, ""], config: Config, num_classes: int) -> Views:
    """Augmented views of a batch.

    Args:
      batch: "clip" uint8 [B,T,H,W,3], "label" [B], "weight" [B].
      key: of this step; each row folds in its position in the global batch.
    Returns:
      "dark" uint8 [B,T,H,W,3], "luminous" uint8 [B,T,h,w,3], "targets" [B,K], "weight" [B].
    """
    clip = _warp(batch["clip"], key, config.augment)
    clip = _jitter(clip, key, config.augment)
    return _views(clip, batch, config.model.luminous, num_classes)


def make_eval_views(batch: dict[str, Array], config: Config, num_classes: int) -> Views:
    """Views of a batch as it is."""
    return _views(batch["clip"], batch, config.model.luminous, num_classes)


def _views(clip: Clips, batch, luminous: Luminous, num_classes: int) -> Views:
    targets = jax.nn.one_hot(batch["label"], num_classes)
    return {"dark": clip, "luminous": _light(clip, luminous), "targets": targets, "weight": batch["weight"]}


@functools.partial(jax.jit, static_argnums=1)
def _light(clip: Clips, luminous: Luminous) -> UInt8[Array, "B T h w 3"]:
    """Gamma correction, then a resize where the luminous stream has another size."""
    lit = gamma_correct(clip, luminous.gamma)
    if lit.shape[2] == luminous.size:
        return lit
    shape = (*lit.shape[:2], luminous.size, luminous.size, 3)
    resized = jax.image.resize(lit.astype(jnp.float32), shape, "linear", antialias=True)
    return jnp.round(resized).astype(jnp.uint8)


def _row_keys(key: Key[Array, ""], purpose: int, count: int) -> Key[Array, "B"]:
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, purpose)))(jnp.arange(count))


@functools.partial(jax.jit, static_argnums=2)
def _warp(clip: Clips, key: Key[Array, ""], ranges: Augment) -> Clips:
    """Flip and affine as one bilinear sampling."""

    def one(clip, key):
        x, y = source_coordinates(key, ranges, *clip.shape[1:3])
        return sample(clip, x, y)

    return jax.vmap(one)(clip, _row_keys(key, 0, len(clip)))


def source_coordinates(key: Key[Array, ""], ranges: Augment, height: int, width: int) -> tuple[Array, Array]:
    """Where each output pixel comes from: (x, y) [H, W] in pixels of the source, for one draw of the warp."""
    flip_key, use_key, draw_key = jax.random.split(key, 3)
    u = jax.random.uniform(draw_key, (5,), minval=-1, maxval=1) * jax.random.bernoulli(use_key, ranges.affine)
    zoom = 1 + ranges.scale * u[0]
    turn, shear = jnp.deg2rad(ranges.rotate * u[1]), jnp.tan(jnp.deg2rad(ranges.shear * u[2]))
    mirror = 1 - 2 * jax.random.bernoulli(flip_key, ranges.flip).astype(jnp.float32)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(height) - cy, jnp.arange(width) - cx, indexing="ij")  # [H, W], from the centre
    x = mirror * (x + shear * y) / zoom
    y = y / zoom
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    shift_x, shift_y = ranges.translate * u[3] * width, ranges.translate * u[4] * height
    return cos * x - sin * y + cx + shift_x, sin * x + cos * y + cy + shift_y


def sample(clip: UInt8[Array, "T H W C"], x: Float[Array, "H W"], y: Float[Array, "H W"]) -> UInt8[Array, "T H W C"]:
    """Bilinear sampling of every frame at (x, y), borders reflected."""
    height, width = clip.shape[1:3]
    x, y = _reflect(x, width), _reflect(y, height)
    x0, y0 = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    x1, y1 = jnp.minimum(x0 + 1, width - 1), jnp.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]  # [H, W, 1]

    def one_frame(frame):
        def at(rows, columns):
            return frame[rows, columns].astype(jnp.float32)

        top = at(y0, x0) * (1 - fx) + at(y0, x1) * fx
        bottom = at(y1, x0) * (1 - fx) + at(y1, x1) * fx
        return jnp.round(top * (1 - fy) + bottom * fy).astype(clip.dtype)

    return jax.vmap(one_frame)(clip)


def _reflect(position: Float[Array, "H W"], length: int) -> Float[Array, "H W"]:
    """Mirrors positions beyond 0 and length - 1 back inside."""
    last = max(length - 1, 1)
    folded = jnp.mod(position, 2 * last)
    return jnp.clip(jnp.minimum(folded, 2 * last - folded), 0, length - 1)


@functools.partial(jax.jit, static_argnums=2)
def _jitter(clip: Clips, key: Key[Array, ""], ranges: Augment) -> Clips:
    """Brightness, contrast, saturation and hue as one 3x4 colour matrix per clip."""

    def one(clip, key):
        mean = clip.astype(jnp.float32).mean()
        m, offset = colour_matrix(key, ranges, mean)
        r, g, b = (clip[..., i].astype(jnp.float32) for i in range(3))
        channels = [m[i, 0] * r + m[i, 1] * g + m[i, 2] * b + offset for i in range(3)]
        return jnp.clip(jnp.round(jnp.stack(channels, axis=-1)), 0, 255).astype(jnp.uint8)

    return jax.vmap(one)(clip, _row_keys(key, 1, len(clip)))


def colour_matrix(key: Key[Array, ""], ranges: Augment, mean: Float[Array, ""]) -> tuple[Array, Array]:
    """(matrix [3, 3], offset) of one draw of the colour jitter; `mean` is the clip's level, the pivot of contrast."""
    use_key, draw_key = jax.random.split(key)
    u = jax.random.uniform(draw_key, (4,), minval=-1, maxval=1) * jax.random.bernoulli(use_key, ranges.jitter)
    brightness, contrast = 1 + ranges.brightness * u[0], 1 + ranges.contrast * u[1]
    saturation, angle = 1 + ranges.saturation * u[2], 2 * jnp.pi * ranges.hue * u[3]
    grey = jnp.tile(jnp.array([0.299, 0.587, 0.114]), (3, 1))
    saturate = saturation * jnp.eye(3) + (1 - saturation) * grey
    # Rotation about the grey axis: Rodrigues' formula with the axis (1, 1, 1)/sqrt(3).
    cross = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / jnp.sqrt(3.0)
    turn = jnp.cos(angle) * jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) / 3
    return contrast * brightness * saturate @ turn, (1 - contrast) * mean * brightness
