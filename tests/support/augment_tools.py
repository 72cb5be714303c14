"""Augmentation settings and clips that several test files share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lift_flax import presets
from lift_flax.augment import stages, streams
from lift_flax.config import AUGMENTATIONS, Augment

DEFAULT = Augment(**presets.defaults().augment.to_dict())
NOTHING = Augment(**{field.name: 0.0 for field in dataclasses.fields(Augment)})


def only(*names: str, **ranges: float) -> Augment:
    """The default ranges with the augmentations `names` always drawn and no other, then `ranges`."""
    probabilities = {name: float(name in names) for name in AUGMENTATIONS}
    return dataclasses.replace(DEFAULT, **{**probabilities, **ranges})


def stage_frames(name: str, clip: jax.Array, key: jax.Array, ranges: Augment) -> jax.Array:
    """A batch of frames after the stage of the augmentation `name` alone."""
    (stage,) = (stage for stage in stages.STAGES if name in stage.texts)
    return streams._apply(stage.frames, clip, streams._draw(stage, key, None, ranges, clip.shape), ranges)


def all_frames(clip: jax.Array, key: jax.Array, ranges: Augment) -> jax.Array:
    """A batch of frames after all stages."""
    return streams.augment_frames(clip, streams.draw_stages(key, ranges, clip.shape), ranges)


def all_flow(codes: jax.Array, key: jax.Array, ranges: Augment) -> jax.Array:
    """A batch of coded flow after all stages."""
    return streams.augment_flow(codes, streams.draw_stages(key, ranges, (*codes.shape[:4], 3)), ranges)


def noise(seed: int = 0, shape=(2, 3, 20, 24, 3)) -> jax.Array:
    """uint8 noise."""
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape), jnp.uint8)


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Levels between 0 and 255 of a smooth texture without a period in the frame: [..., 3]."""
    channels = [
        np.sin(x / 14 + phase) + np.sin(y / 17 - phase) + np.sin((x + 2 * y) / 29) + np.sin((2 * x - y) / 37 + phase)
        for phase in (0.0, 1.0, 2.0)
    ]
    return 128 + 28 * np.stack(channels, axis=-1)


def smooth_clip(frames: int = 2, side: int = 96, step: tuple[float, float] = (1.5, -0.5)) -> np.ndarray:
    """uint8 [T, side, side, 3]: the texture, moving by `step` = (x, y) px per frame."""
    y, x = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    levels = np.stack([waves(x - t * step[0], y - t * step[1]) for t in range(frames)])
    return np.round(levels).astype(np.uint8)
