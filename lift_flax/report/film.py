"""A clip as a small picture, some of its frames side by side, and as a film that a web page plays."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import hsv_to_rgb
from PIL import Image

from lift_flax.config import Luminous
from lift_flax.data.clip_reader import Example
from lift_flax.video import encode, flow_codes, sampling
from lift_flax.video.gamma import gamma_table

SIDE = 160  # px of a panel of a film
_STRIP_SIDE, _STRIP_FRAMES = 112, 4  # px of a frame of a strip, and how many
_FPS = 8.0

Panel = UInt8[np.ndarray, "T 160 160 3"]


def film_strip(panels: list[Panel]) -> bytes:
    """A JPEG of four frames of each panel, in rows.  Two or four panels give it the shape of their `preview`."""
    shown = sampling.eval_indices(len(panels[0]), _STRIP_FRAMES)
    rows = [np.concatenate(list(panel[shown]), axis=1) for panel in panels]  # P of [SIDE, 4 SIDE, 3]
    image = Image.fromarray(np.concatenate(rows))
    image = image.resize((_STRIP_SIDE * _STRIP_FRAMES, _STRIP_SIDE * len(rows)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def preview(panels: list[Panel]) -> bytes:
    """An MP4 of all panels at once, two beside each other."""
    rows = [np.concatenate(panels[i : i + 2], axis=2) for i in range(0, len(panels), 2)]  # each [T, SIDE, 2 SIDE, 3]
    return encode.mp4(np.concatenate(rows, axis=1), _FPS)


def panel(frames: UInt8[np.ndarray, "T H W 3"]) -> Panel:
    """`frames` at the size of a panel."""
    return np.stack([Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for f in frames])


def data_uri(kind: str, content: bytes) -> str:
    """`content` of a media type as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def luminous_view(example: Example, luminous: Luminous) -> UInt8[np.ndarray, "T H W 3"]:
    """What the luminous stream sees, as colours: gamma-corrected frames or flow."""
    if luminous.input == "gamma":
        return gamma_table(luminous.gamma)[example["clip"]]
    return colour_flow(example["flow"])


def colour_flow(codes: UInt8[np.ndarray, "T H W 2"]) -> UInt8[np.ndarray, "T H W 3"]:
    """Direction as colour (red to the right), length as brightness, full at the fastest hundredth of the clip."""
    u, v = np.moveaxis(flow_codes.decode(codes), -1, 0)  # two of [T, H, W]
    length = np.hypot(u, v)
    brightness = np.clip(length / max(np.percentile(length, 99), 1), 0, 1)
    hue = np.arctan2(v, u) / (2 * np.pi) % 1
    return np.round(255 * hsv_to_rgb(np.stack([hue, np.ones_like(hue), brightness], axis=-1))).astype(np.uint8)
