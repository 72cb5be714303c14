"""Fixed views of training clips (`data.feature_views`): where the ViT is frozen, each clip is seen in V ways for good.

A view decides the frames, the crop and every augmentation of a clip.  It depends on the clip's id and its own number
alone, on no seed and no step, so that what a frozen ViT makes of it is the same in every run.
"""

import hashlib

import numpy as np

from lift_flax.config import Config


def count(config: Config) -> int:
    """How many fixed views each training clip has in the phase whose ViT is frozen; 0 where it is drawn anew."""
    frozen = config.model.pvit.unfreeze == "none" and config.model.streams != "luminous"
    return config.data.feature_views if frozen else 0


def rng(clip: str, view: int) -> np.random.Generator:
    """What chooses the frames and the crop of a view."""
    return np.random.default_rng([*_digest(clip, view)])


def row(clip: str, view: int) -> np.uint32:
    """What the keys of the augmentations fold in, where otherwise a row's place in the batch is."""
    return np.uint32(int.from_bytes(_digest(clip, view)[:4], "little"))


def _digest(clip: str, view: int) -> bytes:
    return hashlib.sha256(f"{view} {clip}".encode()).digest()
