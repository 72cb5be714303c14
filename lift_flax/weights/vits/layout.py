"""What every reader of a layout gives: where each of our parameters comes from, and the facts of the network."""

import math
import re
from typing import Any, NamedTuple

import numpy as np

from lift_flax.config import VIT_LN_EPS
from lift_flax.weights.read_tensors import Tensors

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # mean and std of the input of Google's ViTs
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

# {our parameter: (name in the file, array)}
Sources = dict[str, tuple[str, np.ndarray]]


class PublishedVit(NamedTuple):
    """A ViT as a file holds it.

    Attributes:
      sources: of each of our parameters.
      facts: sizes and settings, as weights.json keeps them.
      heads: of its attention, by the shapes of its tensors; None where they do not show it.
      folded: tensors that went into those of `sources`, and how.
    """

    sources: Sources
    facts: dict[str, Any]
    heads: int | None
    folded: dict[str, str]


def facts_of(sources: Sources, blocks: int, statistics: tuple, **rest: Any) -> dict[str, Any]:
    """The facts that shapes show, and the `rest`."""
    patch, _, _, dim = sources["params/patches/kernel"][1].shape
    facts = {"blocks": blocks, "patch": patch, "dim": dim}
    facts["mlp_dim"] = sources["params/blocks/0/mlp/fc1/bias"][1].shape[0]
    facts["grid"] = math.isqrt(sources["params/positions"][1].shape[1] - 1)
    mean, std = map(list, statistics)
    usual = {"ln_eps": VIT_LN_EPS, "qkv_bias": True, "pre_norm": False}
    return {**facts, **usual, "mean": mean, "std": std, **rest}


def with_class_position(name: str, positions: np.ndarray) -> tuple[str, np.ndarray]:
    """Adds a zero position for the class token where the table has none: its position is in the token itself."""
    if math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        positions = np.concatenate([np.zeros_like(positions[:, :1]), positions], axis=1)
    return name, positions


def linear(tensors: Tensors, ours: str, theirs: str, *, bias: bool = True) -> Sources:
    """PyTorch's Linear as ours."""
    weight, its_bias = f"{theirs}.weight", f"{theirs}.bias"
    sources = {f"{ours}/kernel": (weight, tensors[weight].T)}
    return sources | ({f"{ours}/bias": (its_bias, tensors[its_bias])} if bias else {})


def norm(tensors: Tensors, ours: str, theirs: str) -> Sources:
    """PyTorch's LayerNorm as ours."""
    return {
        f"{ours}/{leaf}": (n := f"{theirs}.{name}", tensors[n])
        for leaf, name in (("scale", "weight"), ("bias", "bias"))
    }


def scaled(sources: Sources, layer: str, scale: str, tensors: Tensors) -> dict[str, str]:
    """Multiplies the outputs of a Linear by a LayerScale that follows it; gives {its name: how it was used}.

    x + s (W y + b) is x + (W s) y + b s: nothing else changes.
    """
    factors = tensors[scale].astype(np.float32)
    for leaf in ("kernel", "bias"):
        name, array = sources[f"{layer}/{leaf}"]
        sources[f"{layer}/{leaf}"] = (f"{name}[times {scale}]", array.astype(np.float32) * factors)
    return {scale: f"LayerScale, folded into {layer.removeprefix('params/')}"}


def count_blocks(tensors: Tensors, pattern: str) -> int:
    """How many blocks the file holds: one more than the highest number that `pattern` finds."""
    return 1 + max((int(found[1]) for name in tensors if (found := re.match(pattern, name))), default=-1)
