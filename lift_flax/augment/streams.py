"""From a batch of uint8 clips to the streams that the model sees, on the device.

Train: frame shuffle, one geometric warp, colour jitter, rain, CutMix; then the luminous view is made from the augmented
dark one (or from the flow, warped alike), so both pathways see the same scene.  Every draw is made once per clip and
holds for all its frames and both pathways.  The stages are jitted one by one: benchmarks/augment.py says why.

    python -m lift_flax.augment --preview=FILE.png     # draws what each augmentation does
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8

from lift_flax.augment import colour, mix, rain, warp
from lift_flax.config import Augment, Config, Luminous
from lift_flax.video import flow_codes as flow
from lift_flax.video.gamma import gamma_table

Streams = dict[str, Array]
Clips = UInt8[Array, "B T H W 3"]
Flows = UInt8[Array, "B T H W 2"]
Luminances = UInt8[Array, "B T h w 3"]

_WARP, _JITTER, _RAIN, _CUTMIX, _SHUFFLE = range(5)  # purposes of random keys


def make_train_streams(batch: dict[str, Array], key: Key[Array, ""], config: Config, num_classes: int) -> Streams:
    """Augmented streams of a batch.

    Args:
      batch: "clip" uint8 [B,T,H,W,3], "label" [B], "weight" [B]; with `model.luminous.input=flow` also "flow" uint8
        [B,T,H,W,2], coded as lift_flax/video/flow_codes.py says.
      key: of this step; each row folds in its position in the global batch.
    Returns:
      "dark" uint8 [B,T,H,W,3], "luminous" uint8 [B,T,h,w,3], "targets" [B,K], "weight" [B].
    """
    ranges = config.augment
    augmented = {**batch, "clip": _augment_frames(batch["clip"], key, ranges)}
    if config.model.luminous.input == "flow":
        augmented["flow"] = _augment_flow(batch["flow"], key, ranges)
    streams = make_eval_streams(augmented, config, num_classes)
    return {**streams, "targets": _mix_targets(streams["targets"], key, ranges, batch["clip"].shape[2:4])}


def make_eval_streams(batch: dict[str, Array], config: Config, num_classes: int) -> Streams:
    """Streams of a batch as it is; the same arguments and results as `make_train_streams`."""
    targets = jax.nn.one_hot(batch["label"], num_classes)
    return {**clip_streams(batch, config), "targets": targets, "weight": batch["weight"]}


def clip_streams(batch: dict[str, Array], config: Config) -> Streams:
    """What the networks see of a batch as it is: "dark" and "luminous", from "clip" (and "flow") alone."""
    luminous = config.model.luminous
    light = _flow_view(batch["flow"], luminous) if luminous.input == "flow" else _light(batch["clip"], luminous)
    return {"dark": batch["clip"], "luminous": light}


def _augment_frames(clip: Clips, key: Key[Array, ""], ranges: Augment) -> Clips:
    """The stages in order; one that is never drawn is left out, and not compiled."""
    if ranges.shuffle:
        clip = _shuffle(clip, key, ranges)
    if _warps(ranges):
        clip = _warp(clip, key, ranges)
    if ranges.jitter:
        clip = _jitter(clip, key, ranges)
    if ranges.rain:
        clip = _rain(clip, key, ranges)
    if ranges.cutmix:
        clip = _cutmix(clip, key, ranges)
    return clip


def _augment_flow(flow: Flows, key: Key[Array, ""], ranges: Augment) -> Flows:
    """What moves the frames' pixels moves the flow's; what changes their colours leaves it alone."""
    if ranges.shuffle:
        flow = _shuffle(flow, key, ranges)
    if _warps(ranges):
        flow = _turn_flow(_sample_flow(flow, key, ranges), key, ranges)
    if ranges.cutmix:
        flow = _cutmix(flow, key, ranges)
    return flow


def _warps(ranges: Augment) -> bool:
    return any((ranges.flip, ranges.affine, ranges.optical, ranges.elastic))


def row_keys(key: Key[Array, ""], purpose: int, count: int) -> Key[Array, "B"]:
    """A key for each row of the global batch, the same whatever the other rows are."""
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, purpose)))(jnp.arange(count))


@functools.partial(jax.jit, static_argnums=2)
def _shuffle(clip: UInt8[Array, "B T H W C"], key: Key[Array, ""], ranges: Augment) -> UInt8[Array, "B T H W C"]:
    def one(clip, key):
        return clip[mix.frame_order(key, ranges.shuffle, len(clip))]

    return jax.vmap(one)(clip, row_keys(key, _SHUFFLE, len(clip)))


@functools.partial(jax.jit, static_argnums=2)
def _warp(clip: Clips, key: Key[Array, ""], ranges: Augment) -> Clips:
    return jax.vmap(functools.partial(warp.warp_clip, ranges=ranges))(clip, row_keys(key, _WARP, len(clip)))


@functools.partial(jax.jit, static_argnums=2)
def _sample_flow(flow: Flows, key: Key[Array, ""], ranges: Augment) -> Float[Array, "B T H W 2"]:
    return jax.vmap(functools.partial(warp.sample_flow, ranges=ranges))(flow, row_keys(key, _WARP, len(flow)))


@functools.partial(jax.jit, static_argnums=2)
def _turn_flow(moved: Float[Array, "B T H W 2"], key: Key[Array, ""], ranges: Augment) -> Flows:
    return jax.vmap(functools.partial(warp.turn_flow, ranges=ranges))(moved, row_keys(key, _WARP, len(moved)))


@functools.partial(jax.jit, static_argnums=2)
def _jitter(clip: Clips, key: Key[Array, ""], ranges: Augment) -> Clips:
    return jax.vmap(functools.partial(colour.jitter, ranges=ranges))(clip, row_keys(key, _JITTER, len(clip)))


@functools.partial(jax.jit, static_argnums=2)
def _rain(clip: Clips, key: Key[Array, ""], ranges: Augment) -> Clips:
    return jax.vmap(functools.partial(rain.rain, ranges=ranges))(clip, row_keys(key, _RAIN, len(clip)))


@functools.partial(jax.jit, static_argnums=2)
def _cutmix(clip: UInt8[Array, "B T H W C"], key: Key[Array, ""], ranges: Augment) -> UInt8[Array, "B T H W C"]:
    return mix.paste(clip, _boxes(key, ranges, len(clip), clip.shape[2:4]))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _mix_targets(
    targets: Float[Array, "B K"], key: Key[Array, ""], ranges: Augment, size: tuple[int, int]
) -> Float[Array, "B K"]:
    return mix.mix_targets(targets, _boxes(key, ranges, len(targets), size), *size)


def _boxes(key: Key[Array, ""], ranges: Augment, count: int, size: tuple[int, int]) -> Int[Array, "B 4"]:
    return jax.vmap(lambda key: mix.draw_box(key, ranges.cutmix, *size))(row_keys(key, _CUTMIX, count))


@functools.partial(jax.jit, static_argnums=1)
def _light(clip: Clips, luminous: Luminous) -> Luminances:
    """Gamma correction, then a resize where the luminous stream has another size."""
    return _resize(gamma_correct(clip, luminous.gamma), luminous.size)


@functools.partial(jax.jit, static_argnums=1)
def _flow_view(codes: Flows, luminous: Luminous) -> Luminances:
    """(u, v, length), three channels as the R(2+1)D takes them, the length in the same code: 128 to 255.

    Then a resize as for frames.  Codes stay in pixels of the stored clip, whatever the size.
    """
    u, v = codes[..., 0], codes[..., 1]  # two of [B, T, H, W]
    length = jnp.hypot(u.astype(jnp.float32) - flow.ZERO, v.astype(jnp.float32) - flow.ZERO)
    length = (jnp.round(jnp.minimum(length, flow.STEPS)) + flow.ZERO).astype(jnp.uint8)
    return _resize(jnp.stack([u, v, length], axis=-1), luminous.size)


def _resize(clip: Clips, size: int) -> Luminances:
    if clip.shape[2] == size:
        return clip
    shape = (*clip.shape[:2], size, size, 3)
    resized = jax.image.resize(clip.astype(jnp.float32), shape, "linear", antialias=True)
    return jnp.round(resized).astype(jnp.uint8)


def gamma_correct(clip: UInt8[Array, "*dims"], gamma: float) -> UInt8[Array, "*dims"]:
    """Looks every level of `clip` up in the table."""
    return jnp.asarray(gamma_table(gamma))[clip]
