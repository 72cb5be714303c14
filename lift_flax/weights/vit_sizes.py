"""Sizes of published ViTs, and how many heads a ViT's attention has where its tensors do not show it."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from lift_flax.errors import UserError


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


def named_size(path: Path) -> tuple[str, Size] | None:
    """(timm's name, its size) of the network that a file is for; None where nothing names it.

    The config.json that Hugging Face keeps beside a file names it, else the file's own name if it is timm's.
    """
    try:
        name = json.loads((path.parent / "config.json").read_text())["architecture"]
    except (OSError, ValueError, KeyError, TypeError):
        name = path.name
    found = _TIMM.match(str(name))
    return (found[0], SIZES[found[1]]) if found else None


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
