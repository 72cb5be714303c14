"""Sizes of published ViTs, and what their files do not show: which network it is, its heads, its input."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from lift_flax.errors import UserError
from lift_flax.weights.vits.layout import IMAGENET


class Size(NamedTuple):
    """A published size: its letter in papers, its width and its heads under timm's name."""

    letter: str
    dim: int
    num_heads: int


SIZES = {  # by the word in timm's names, vit_base_patch16_224
    "tiny": Size("Ti", 192, 3),
    "small": Size("S", 384, 6),
    "base": Size("B", 768, 12),
    "large": Size("L", 1024, 16),
    "huge": Size("H", 1280, 16),
    "giant": Size("g", 1408, 16),
    "gigantic": Size("G", 1664, 16),
}
_TIMM = re.compile(r"(?:jx_)?(?:vit|deit3?)_(tiny|small|base|large|huge|giant|gigantic)_p(?:atch)?\d+(?=[_.-]|$)")
_GELU = {"gelu": "exact", "quick_gelu": "quick", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}  # transformers' words


class Described(NamedTuple):
    """What stands beside a file, or in its name; None for what does not.

    Attributes:
      name: of the network, in timm.
      dim: the width that the name stands for.
      num_heads: of every attention.
      settings: GELU, LayerNorm eps, mean and std of the input, as facts.
    """

    name: str | None
    dim: int | None
    num_heads: int | None
    settings: dict[str, Any]


def described(path: Path) -> Described:
    """Reads timm's or transformers' config.json beside a file, its preprocessor_config.json, and its own name."""
    config, images = (_json(path.parent / f"{name}.json") for name in ("config", "preprocessor_config"))
    vision = config.get("vision_config") or config
    heads = vision.get("num_attention_heads")
    timm = config.get("architecture") or path.name
    found = _TIMM.match(str(timm))
    size = SIZES[found[1]] if found else None
    settings: dict[str, Any] = {}
    if found and str(timm).startswith("deit"):
        settings = dict(zip(("mean", "std"), map(list, IMAGENET), strict=True))
    if found and "clip" in str(timm):
        settings["gelu"] = "quick" if "quickgelu" in str(timm) else "exact"
    if vision.get("hidden_act") in _GELU:
        settings["gelu"] = _GELU[vision["hidden_act"]]
    if isinstance(eps := vision.get("layer_norm_eps"), float):
        settings["ln_eps"] = eps
    of_timm = config.get("pretrained_cfg") or {}
    for key, theirs, other in (("mean", "mean", "image_mean"), ("std", "std", "image_std")):
        if given := of_timm.get(theirs) or images.get(other):
            settings[key] = [float(value) for value in given]
    return Described(
        found[0] if found else None, size.dim if size else None, heads or (size.num_heads if size else None), settings
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def agreed_heads(dim: int, shown: int | None, named: int | None) -> int:
    """How many heads an attention of width `dim` has.

    Args:
      shown: by the shapes of the tensors.
      named: by the user, or by the network's name.

    Raises:
      UserError: neither says it, they contradict each other, or the width does not divide by it.
    """
    if shown and named and shown != named:
        raise UserError(f"--num-heads={named}: the file's tensors show {shown} heads; leave --num-heads out")
    if not (heads := shown or named):
        usual = [f"{size.num_heads} for timm's ViT-{size.letter}" for size in SIZES.values() if size.dim == dim]
        usual += ["12 for MoCo v3's"] if dim == 384 else []
        raise UserError(
            f"the file does not show how many heads its attention of width {dim} has, and other numbers give other "
            f"answers: add --num-heads=N{', ' if usual else ''}{', '.join(usual)}"
        )
    if heads < 1 or dim % heads:
        raise UserError(f"--num-heads={heads}: the width {dim} does not divide by it")
    return heads
