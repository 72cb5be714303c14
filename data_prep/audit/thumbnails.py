"""What a video looks like over time: small pictures, lit and averaged, by which footage is recognised."""

import math

import numpy as np
from jaxtyping import Float16, UInt8
from PIL import Image

SIDE = 16  # px of a small picture
PER_SECOND = 20
_REACH = 0.1  # s on both sides that a picture averages, with less weight farther away
_GAMMA = 1.8  # exponent 1/gamma: what is seen in the dark weighs as much as what is seen in light
_SHORT_SIDE = 160  # px; of a larger frame, only pixels on a grid are averaged


class Thumbnails:
    """Gathers the small pictures of one video, frame by frame.

    A picture averages the frames around its time, so noise weighs little, and rates and moments of frames may differ.

    Args:
      longest: seconds from the start that are looked at.
    """

    def __init__(self, longest: float):
        self._most = max(math.ceil(longest * PER_SECOND), 1)
        self._sums: dict[int, np.ndarray] = {}
        self._weights: dict[int, float] = {}
        self._last = 0  # the picture nearest to the last frame

    def add(self, seconds: float, luma: UInt8[np.ndarray, "H W"], turns: int, mirrored: bool) -> None:
        """Takes a frame.

        Args:
          seconds: since the first frame.
          luma: as it is coded.
          turns, mirrored: quarter turns clockwise that show it upright, after mirroring left to right.
        """
        at = max(seconds, 0.0) * PER_SECOND
        if round(at) >= self._most:
            return
        self._last = max(self._last, round(at))
        step = max(1, min(luma.shape) // _SHORT_SIDE)
        levels = Image.fromarray(luma[::step, ::step].astype(np.float32))
        small = np.asarray(levels.resize((SIDE, SIDE), Image.Resampling.BOX))
        lit = (np.rot90(np.flip(small, 1) if mirrored else small, -turns).ravel() / 255) ** (1 / _GAMMA)
        reach = _REACH * PER_SECOND
        for place in range(max(math.ceil(at - reach), 0), math.floor(at + reach) + 1):
            weight = max(1 - abs(place - at) / reach, 1e-3)
            self._sums[place] = self._sums.get(place, 0) + weight * lit
            self._weights[place] = self._weights.get(place, 0) + weight

    def pictures(self) -> Float16[np.ndarray, "N SIDE*SIDE"]:
        """All pictures, 0 (black) to 1 (white); where no frame is near, the one before stays."""
        filled, shown = [], 0
        for place in range(self._last + 1):
            shown = place if place in self._sums else shown
            filled.append(self._sums[shown] / self._weights[shown])
        return np.array(filled, np.float16)
