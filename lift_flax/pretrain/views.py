"""The views of a batch of clips: two windows of each, the second in another light, both perhaps played backwards.

Everything is made of the clips and of what pretraining draws; labels do not come this far.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from lift_flax.augment.streams import augment_flow, augment_frames, clip_streams, draw_stages, row_keys
from lift_flax.config import AUGMENTATIONS, Config
from lift_flax.data.clip_reader import PIXELS
from lift_flax.models.inputs import Streams
from lift_flax.video import flow_codes

VIEWS = 2
_ORDER = 100  # purpose of a random key, beside those of the stages


def without_labels(config: Config) -> Config:
    """`config` as pretraining computes.

    The second view of every clip is photographed again in other light (`augment.exposure`), the first one never: of two
    views that are too dark or too bright there would be nothing to learn.  No clip gets a part of another one, nor are
    its frames shuffled: then views of one clip could not agree, or its order not be told.  What goes by labels is off:
    balanced classes, and weights of classes.  The best checkpoint is that of the smallest loss on validation clips: by
    the share of views that are found, few clips tell little apart.
    """
    return dataclasses.replace(
        config,
        augment=dataclasses.replace(config.augment, exposure=1.0, cutmix=0.0, shuffle=0.0),
        data=dataclasses.replace(config.data, balance="none"),
        train=dataclasses.replace(config.train, class_weights="none", best_by="loss"),
    )


def make_view_streams(batch: dict[str, Array], key: Key[Array, ""], config: Config, num_classes: int) -> Streams:
    """Makes the augmented streams of a batch.

    Args:
      batch: "clip" uint8 [B,2,T,H,W,3], and where `model.luminous` takes flow "flow" uint8 [B,2,T,H,W,2].
      key: of this step; each view of the global batch has draws of its own.
      num_classes: of no use here.
    Returns:
      The streams of `augment.streams.clip_streams` with an axis for the views after the first, and "backwards" float32
      [B]: whether both views of a clip are played so.
    """
    del num_classes
    rows = {name: _as_rows(batch[name]) for name in PIXELS & set(batch)}  # [2B, ...]
    backwards = _draw_order(key, batch["clip"].shape[0], config.pretrain.order_weight > 0)
    ranges = dataclasses.replace(config.augment, exposure=0.0)
    draws = draw_stages(key, ranges, rows["clip"].shape)
    rows["clip"] = augment_frames(rows["clip"], draws, ranges)
    if "flow" in rows:
        rows["flow"] = augment_flow(rows["flow"], draws, ranges)
    streams = _seen(rows, _second(*batch["clip"].shape[:2]), jnp.repeat(backwards, VIEWS), key, config)
    return {**{name: _by_clip(stream) for name, stream in streams.items()}, "backwards": backwards}


def view_rows(streams: Streams) -> Streams:
    """The streams of `make_view_streams` that a network takes, each view a row: [2B,...] of [B,2,...]."""
    pixels = {name: stream for name, stream in streams.items() if name != "backwards"}
    return {name: stream.reshape(-1, *stream.shape[2:]) for name, stream in pixels.items()}


def make_validation_streams(batch: dict[str, Array], key: Key[Array, ""], config: Config) -> Streams:
    """Makes the streams of N views as they are, but for the light of second ones, drawn from `key`, and their order.

    Args:
      batch: "clip" uint8 [N,T,H,W,3], perhaps "flow"; "second" and "backwards" float32 [N], 1 for views that are.
    """
    rows = {name: batch[name] for name in PIXELS & set(batch)}
    return _seen(rows, batch["second"], batch["backwards"], key, config)


def _seen(
    rows: dict[str, Array], second: Float[Array, "N"], backwards: Float[Array, "N"], key: Key[Array, ""], config: Config
) -> Streams:
    ranges = dataclasses.replace(config.augment, **{**dict.fromkeys(AUGMENTATIONS, 0.0), "exposure": 1.0})
    relit = augment_frames(rows["clip"], draw_stages(key, ranges, rows["clip"].shape), ranges)
    played = {"clip": _play(_chosen(rows["clip"], relit, second), backwards)}
    if "flow" in rows:
        played["flow"] = _play_flow(rows["flow"], backwards)
    return clip_streams(played, config)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _second(clips: int, views: int) -> Float[Array, "N"]:
    """1 for each row that is the second view of its clip."""
    return jnp.tile(jnp.arange(views, dtype=jnp.float32), clips)


@jax.jit
def _chosen(first: Array, second: Array, is_second: Float[Array, "N"]) -> Array:
    return jnp.where((is_second > 0).reshape(-1, *[1] * (first.ndim - 1)), second, first)


@jax.jit
def _as_rows(views: Array) -> Array:
    return views.reshape(-1, *views.shape[2:])


@jax.jit
def _by_clip(rows: Array) -> Array:
    return rows.reshape(-1, VIEWS, *rows.shape[1:])


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw_order(key: Key[Array, ""], count: int, drawn: bool) -> Float[Array, "B"]:
    """1 for each clip that is played backwards, half of them on average; all 0 where none is."""
    if not drawn:
        return jnp.zeros(count)
    return jax.vmap(jax.random.bernoulli)(row_keys(key, _ORDER, jnp.arange(count))).astype(jnp.float32)


@jax.jit
def _play(clips: UInt8[Array, "N T H W C"], backwards: Float[Array, "N"]) -> UInt8[Array, "N T H W C"]:
    """Frames in their order, or from the last to the first."""
    return jnp.where((backwards > 0)[:, None, None, None, None], clips[:, ::-1], clips)


@jax.jit
def _play_flow(codes: UInt8[Array, "N T H W 2"], backwards: Float[Array, "N"]) -> UInt8[Array, "N T H W 2"]:
    """Coded flow (lift_flax/video/flow_codes.py) in its order, or in the other one, where everything moves back."""
    back = jnp.minimum(2 * flow_codes.ZERO - codes.astype(jnp.int32), 255).astype(jnp.uint8)
    return jnp.where((backwards > 0)[:, None, None, None, None], back[:, ::-1], codes)
