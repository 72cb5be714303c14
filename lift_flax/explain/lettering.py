"""Text on pictures."""

import functools
from pathlib import Path

import matplotlib
from PIL import ImageFont


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; `size` in px."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def fitting(text: str, size: int, width: int) -> str:
    """`text` at `size` px, with its end left out where it is wider than `width` px."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
