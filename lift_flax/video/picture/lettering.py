"""Names on pictures: in a font that has their characters, and within the room that there is."""

import functools
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from lift_flax.errors import shown

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # comes with matplotlib


def font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """The font to draw `text` with; `size` in px."""
    return _font(size, typeface(text))


@functools.cache
def _font(size: int, file: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@functools.cache
def typeface(text: str) -> Path:
    """The file of a font: DejaVu Sans, or where that lacks a character of `text`, one that has them all."""
    needed = {ord(character) for character in text} - _characters(DEJAVU)
    if not needed:
        return DEJAVU
    files = sorted({Path(entry.fname) for entry in font_manager.fontManager.ttflist if entry.style == "normal"})
    needed = {ord(character) for character in text}
    return next((file for file in files if needed <= _characters(file)), DEJAVU)


@functools.cache
def _characters(file: Path) -> frozenset[int]:
    """What a font can draw at any size."""
    try:
        face = FT2Font(str(file))
    except (OSError, RuntimeError):
        return frozenset()
    placeholders = face.family_name.startswith("Last Resort")  # comes with matplotlib, and draws boxes for all there is
    return frozenset() if placeholders or not face.scalable else frozenset(face.get_charmap())


def drawable(text: str) -> str:
    """`text` as `font` and `typeface` can draw it: a character that no font has is written as \\\\u8dd1."""
    text = shown(text)
    known = _characters(typeface(text))
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in text)


def fitting(text: str, size: int, width: int) -> str:
    """`text` at `size` px, with its middle left out where it is wider than `width` px."""
    text = drawable(text)
    letters = font(size, text)
    if letters.getlength(text) <= width:
        return text
    kept = len(text) - 1
    while kept > 0 and letters.getlength(_without_middle(text, kept)) > width:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def lines(text: str, size: int, width: int) -> list[str]:
    """`text` at `size` px in lines of at most `width` px, broken anywhere."""
    text = drawable(text)
    letters, broken = font(size, text), [""]
    for character in text:
        if broken[-1] and letters.getlength(broken[-1] + character) > width:
            broken.append("")
        broken[-1] += character
    return broken
