"""Makes the streams that the networks see from a batch of uint8 clips, on the device.

In training the stages of lift_flax/augment/stages.py change the dark clips; then the luminous stream is made from them
(or from the flow, moved alike), so both pathways see the same scene.  Every draw is made once per clip and holds for
all its frames and both pathways.  The stages are jitted one by one: benchmarks/augment.py says why.

    python -m lift_flax.augment --preview=FILE.png     # draws what each augmentation does
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key, UInt8, UInt32

from lift_flax.augment.stages import STAGES, Stage
from lift_flax.config import Augment, Config, Luminous
from lift_flax.models.inputs import Streams
from lift_flax.video import flow_codes
from lift_flax.video.gamma import LUMA, gamma_table, gamma_tables

Clips = UInt8[Array, "B T H W 3"]
Flows = UInt8[Array, "B T H W 2"]
Luminances = UInt8[Array, "B T h w C"]
Draws = list[tuple[Stage, Any]]  # each stage that is on, with what it drew for every row


def make_train_streams(
    batch: dict[str, Array], key: Key[Array, ""], config: Config, num_classes: int, *, main: bool = True
) -> Streams:
    """Makes the augmented streams of a batch.

    Args:
      batch: "clip" uint8 [B,T,H,W,3], "label" [B], "weight" [B]; where `model.luminous` takes flow also "flow"
        uint8 [B,T,H,W,2], coded as lift_flax/video/flow_codes.py says; of fixed views "view" uint32 [B], and
        "main_features" [B,T,D], what a frozen ViT made of them, where that is kept.
      key: of this step; each row folds in its position in the global batch, or its "view", and then no step counts.
      main: whether the main stream is wanted; without it frames are left alone where the luminous stream takes flow.
    Returns:
      "dark" uint8 [B,T,H,W,3], "luminous" uint8 [B,T,h,w,C] of `model.luminous.channels`, "targets" [B,K],
      "weight" [B]; "main_features" as it is, in place of "dark".
    """
    ranges, luminous = config.augment, config.model.luminous
    main = main and config.model.streams != "luminous" and "main_features" not in batch
    draws = draw_stages(key, ranges, batch["clip"].shape, batch.get("view"))
    augmented = dict(batch)
    if main or luminous.input != "flow":
        augmented["clip"] = augment_frames(batch["clip"], draws, ranges)
    if luminous.takes_flow:
        augmented["flow"] = augment_flow(batch["flow"], draws, ranges)
    streams = make_eval_streams(augmented, config, num_classes, main=main)
    return {**streams, "targets": mix_targets(streams["targets"], draws, ranges)}


def make_eval_streams(batch: dict[str, Array], config: Config, num_classes: int, *, main: bool = True) -> Streams:
    """Makes the streams of a batch as it is; arguments and results are those of `make_train_streams`."""
    targets = jax.nn.one_hot(batch["label"], num_classes)
    return {**clip_streams(batch, config, main=main), "targets": targets, "weight": batch["weight"]}


def clip_streams(batch: dict[str, Array], config: Config, *, main: bool = True) -> Streams:
    """Makes the streams "dark" and "luminous" of a batch as it is, from "clip" (and "flow") alone.

    Args:
      main: whether what the main stream sees is among them.
    """
    luminous = config.model.luminous
    streams = {"dark": batch["clip"]} if main else {}
    if "main_features" in batch:
        streams["main_features"] = batch["main_features"]
    if config.model.main_is_lit and main and "main_features" not in batch:
        streams["lit"] = _light(batch["clip"], dataclasses.replace(luminous, size=batch["clip"].shape[2]))
    if luminous.input == "flow":
        streams["luminous"] = _flow_stream(batch["flow"], luminous)
    elif "lit" in streams:
        streams["luminous"] = _resized(streams["lit"], luminous.size)
    else:
        streams["luminous"] = _light(batch["clip"], luminous)
    if luminous.input == "both":
        flow = _resized(batch["flow"], luminous.size)
        streams["luminous"] = jnp.concatenate([streams["luminous"], flow], axis=-1)
    return streams


def draw_stages(
    key: Key[Array, ""], ranges: Augment, shape: tuple[int, ...], rows: UInt32[Array, "B"] | None = None
) -> Draws:
    """What every stage draws for the rows of a batch of clips of `shape` [B,T,H,W,3]; stages never drawn are absent.

    Args:
      rows: of fixed views, what the key of each row folds in instead of its place in the batch; then every step has
        one key.
    """
    return [(stage, _draw(stage, key, rows, ranges, shape)) for stage in STAGES if stage.is_on(ranges)]


def augment_frames(clip: Clips, draws: Draws, ranges: Augment) -> Clips:
    """Applies all stages to the frames, in order."""
    for stage, drawn in draws:
        clip = _apply(stage.frames, clip, drawn, ranges)
    return clip


def augment_flow(flow: Flows, draws: Draws, ranges: Augment) -> Flows:
    """Applies to the flow what moves the pixels of the frames; a change of colours leaves it as it is."""
    for stage, drawn in draws:
        for function in stage.flow:
            flow = _apply(function, flow, drawn, ranges)
    return flow


def mix_targets(targets: Float[Array, "B K"], draws: Draws, ranges: Augment) -> Float[Array, "B K"]:
    """Mixes the labels where a stage mixes clips."""
    for stage, drawn in draws:
        if stage.targets:
            targets = _apply(stage.targets, targets, drawn, ranges)
    return targets


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _draw(
    stage: Stage, key: Key[Array, ""], rows: UInt32[Array, "B"] | None, ranges: Augment, shape: tuple[int, ...]
) -> Any:
    """A draw for each row of the global batch, the same whatever the other rows are."""
    if rows is None:
        keys = row_keys(key, stage.purpose, jnp.arange(shape[0]))
    else:
        keys = row_keys(jax.random.key(0), stage.purpose, rows)
    return jax.vmap(lambda key: stage.draw(key, ranges, shape[1:]))(keys)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _apply(function: Callable, batch: Array, draws: Any, ranges: Augment) -> Array:
    return function(batch, draws, ranges)


def row_keys(key: Key[Array, ""], purpose: int, rows: Integer[Array, "B"]) -> Key[Array, "B"]:
    """A key for each row of the global batch, of what it folds in: the same whatever the other rows are."""
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, purpose)))(rows)


@functools.partial(jax.jit, static_argnums=1)
def _light(clip: Clips, luminous: Luminous) -> Luminances:
    """Gamma correction, then a resize where the luminous stream has another size."""
    if luminous.gamma_target:
        lit = jax.vmap(functools.partial(_light_to, target=luminous.gamma_target))(clip)
    else:
        lit = gamma_correct(clip, luminous.gamma)
    return _resize(lit, luminous.size)


def _light_to(clip: UInt8[Array, "T H W 3"], target: float) -> UInt8[Array, "T H W 3"]:
    """Correction by the clip's own gamma (lift_flax/video/gamma.py)."""
    means = jnp.dot(jnp.asarray(gamma_tables(), jnp.float32), luma_histogram(clip), precision="highest")  # [128]
    return jnp.asarray(gamma_tables())[jnp.abs(means - target).argmin()][clip]


def luma_histogram(clip: UInt8[Array, "T H W 3"]) -> Float[Array, "256"]:
    """That of lift_flax/video/gamma.py; how the levels are counted depends on the device, the counts do not."""
    counts = jax.lax.platform_dependent(clip, cpu=_counted_one_by_one, default=_counted_by_product)
    return jnp.dot(jnp.array(LUMA), counts.astype(jnp.float32), precision="highest") / (clip.size // 3)


def _counted_one_by_one(clip: UInt8[Array, "T H W 3"]) -> Int[Array, "3 256"]:
    """How often each channel has each level: a tenth of the other one's time on a CPU."""
    channels = jnp.broadcast_to(jnp.arange(3), clip.shape)
    return jnp.zeros((3, 256), jnp.int32).at[channels, clip.astype(jnp.int32)].add(1)


def _counted_by_product(clip: UInt8[Array, "T H W 3"]) -> Int[Array, "3 256"]:
    """The same for devices that add to one place slowly: the upper times the lower half of each level, by frame."""

    def of_frame(frame: UInt8[Array, "H W 3"]) -> Float[Array, "3 16 16"]:
        upper, lower = (jax.nn.one_hot(half, 16) for half in (frame // 16, frame % 16))  # [H, W, 3, 16]
        return jnp.einsum("HWCU,HWCL->CUL", upper, lower, precision="highest")

    return jax.lax.map(of_frame, clip).sum(0).reshape(3, 256).astype(jnp.int32)


@functools.partial(jax.jit, static_argnums=1)
def _flow_stream(codes: Flows, luminous: Luminous) -> Luminances:
    """(u, v, length), three channels as the R(2+1)D takes them, the length in the same code: 128 to 255.

    Then a resize as for frames.  Codes stay in pixels of the stored clip, whatever the size.
    """
    u, v = codes[..., 0], codes[..., 1]  # two of [B, T, H, W]
    length = jnp.hypot(u.astype(jnp.float32) - flow_codes.ZERO, v.astype(jnp.float32) - flow_codes.ZERO)
    length = (jnp.round(jnp.minimum(length, flow_codes.STEPS)) + flow_codes.ZERO).astype(jnp.uint8)
    return _resize(jnp.stack([u, v, length], axis=-1), luminous.size)


@functools.partial(jax.jit, static_argnums=1)
def _resized(clip: UInt8[Array, "B T H W C"], size: int) -> Luminances:
    return _resize(clip, size)


def _resize(clip: UInt8[Array, "B T H W C"], size: int) -> Luminances:
    if clip.shape[2] == size:
        return clip
    shape = (*clip.shape[:2], size, size, clip.shape[-1])
    resized = jax.image.resize(clip.astype(jnp.float32), shape, "linear", antialias=True)
    return jnp.round(resized).astype(jnp.uint8)


def gamma_correct(clip: UInt8[Array, "*dims"], gamma: float) -> UInt8[Array, "*dims"]:
    """`clip` with each of its levels 0 to 255 looked up in the table of lift_flax/video/gamma.py."""
    return jnp.asarray(gamma_table(gamma))[clip]
