"""A clip as a small picture: some of its frames side by side, above as filmed, below as the luminous stream sees it."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import hsv_to_rgb
from PIL import Image

from lift_flax.config import Luminous
from lift_flax.data import clips, flow
from lift_flax.data.examples import Example
from lift_flax.data.gamma import gamma_table

_FRAMES = 4
_SIDE = 112  # px of a frame, at most


def film_strip(example: Example, luminous: Luminous) -> str:
    """A data URI.  `example` holds "clip" uint8 [T,H,W,3], and "flow" uint8 [T,H,W,2] where that is the input."""
    shown = clips.eval_indices(len(example["clip"]), _FRAMES)
    frames = example["clip"][shown]
    below = gamma_table(luminous.gamma)[frames] if luminous.input == "gamma" else colour_flow(example["flow"])[shown]
    image = Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in (frames, below)]))
    side = min(_SIDE, frames.shape[1])
    image = image.resize((side * _FRAMES, side * 2), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def colour_flow(codes: UInt8[np.ndarray, "T H W 2"]) -> UInt8[np.ndarray, "T H W 3"]:
    """Direction as colour (red to the right), length as brightness, full at the fastest hundredth of the clip."""
    u, v = np.moveaxis(flow.decode(codes), -1, 0)  # two of [T, H, W]
    length = np.hypot(u, v)
    brightness = np.clip(length / max(np.percentile(length, 99), 1), 0, 1)
    hue = np.arctan2(v, u) / (2 * np.pi) % 1
    return np.round(255 * hsv_to_rgb(np.stack([hue, np.ones_like(hue), brightness], axis=-1))).astype(np.uint8)
