"""A clip as a still, some of its frames with their labels, and as a film that a web page plays."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw

from lift_flax.config import Luminous
from lift_flax.data.clip_reader import Example
from lift_flax.video import encode, flow_codes, sampling
from lift_flax.video.gamma import light
from lift_flax.video.picture.lettering import fitting, font

SIDE = 160  # px of a panel of a film
_CELL, _STILL_FRAMES = 112, 4  # px of a still for each of its frames, and how many frames it has in a row
_HEAD, _LINE = 32, 14  # px: the text above a still's frames, and one line of it
_INK, _FAINT = "#f2f3f5", "#9aa3b2"
_FPS = 8.0

Panel = UInt8[np.ndarray, "T 160 160 3"]


def still(panels: dict[str, Panel], clip: str, answer: str) -> bytes:
    """A JPEG of four frames of each panel, in rows.  Two or four panels give it the shape of their `preview`.

    Args:
      panels: by the name that stands beside each row.
      clip: which clip it is, for the first line.
      answer: true and predicted class, for the second.
    """
    count = len(next(iter(panels.values())))
    shown = sampling.eval_indices(count, _STILL_FRAMES)
    width, height = _CELL * _STILL_FRAMES, _CELL * len(panels)
    side = (height - _HEAD) // len(panels)  # of a frame: its rows leave room for the head, its columns for their names
    left = width - side * _STILL_FRAMES
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for line, (text, colour) in enumerate(((clip, _FAINT), (answer, _INK))):
        draw.text((4, 2 + line * _LINE), fitting(text, 11, width - 8), colour, font(11, text))
    for row, (name, frames) in enumerate(panels.items()):
        top = _HEAD + row * side
        for column, t in enumerate(shown):
            x = left + column * side
            image.paste(Image.fromarray(frames[t]).resize((side, side), Image.Resampling.LANCZOS), (x, top))
            if row == 0:
                label = f"frame {t + 1} of {count}"
                draw.text((x + 3, top + 2), label, _INK, font(9), stroke_width=1, stroke_fill="black")
        _beside(image, name, (left, top + side // 2), side)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _beside(image: Image.Image, name: str, right_middle: tuple[int, int], length: int) -> None:
    """Writes `name` upwards, on the left of a row that begins at `right_middle`."""
    text = Image.new("RGB", (length, _LINE))
    ImageDraw.Draw(text).text((length // 2, _LINE // 2), fitting(name, 10, length), _FAINT, font(10), "mm")
    x, y = right_middle
    image.paste(text.rotate(90, expand=True), (x - _LINE - 4, y - length // 2))


def preview(panels: list[Panel]) -> bytes:
    """An MP4 of all panels at once, two in a row."""
    rows = [np.concatenate(panels[i : i + 2], axis=2) for i in range(0, len(panels), 2)]  # each [T, SIDE, 2 SIDE, 3]
    return encode.mp4(np.concatenate(rows, axis=1), _FPS)


def panel(frames: UInt8[np.ndarray, "T H W 3"]) -> Panel:
    """`frames` at the size of a panel."""
    return np.stack([np.asarray(Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for f in frames])


def data_uri(kind: str, content: bytes) -> str:
    """A data URI of `content`, which has the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def luminous_frames(example: Example, luminous: Luminous) -> UInt8[np.ndarray, "T H W 3"]:
    """The input of the luminous stream as colours: gamma-corrected frames, or flow where it is all."""
    if luminous.input != "flow":
        return light(example["clip"], luminous.gamma, luminous.gamma_target)
    return colour_flow(example["flow"])


def colour_flow(codes: UInt8[np.ndarray, "T H W 2"]) -> UInt8[np.ndarray, "T H W 3"]:
    """Direction as colour (red to the right), length as brightness, full at the fastest hundredth of the clip."""
    u, v = np.moveaxis(flow_codes.decode(codes), -1, 0)  # two of [T, H, W]
    length = np.hypot(u, v)
    brightness = np.clip(length / max(np.percentile(length, 99), 1), 0, 1)
    hue = np.arctan2(v, u) / (2 * np.pi) % 1
    return np.round(255 * hsv_to_rgb(np.stack([hue, np.ones_like(hue), brightness], axis=-1))).astype(np.uint8)
