"""Scales frames by averaging over area, for records and for clips; HDR becomes SDR on the way.

What a network takes of a frame is a square: its middle, or all of it (`Fit`).

Every function takes a `scaler`.  Use one for each video and kind of result: it keeps its last settings, among them the
colours of the source.
"""

import dataclasses

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

from lift_flax.video import sampling
from lift_flax.video.picture import hdr

FITS = ("crop", "pad", "squeeze")
BLACK = 0

# Averages over area.  Without the other two flags swscale truncates, and frames come out 1 to 2.3 levels darker,
# depending on their width: much for a dark clip.
EXACT_AREA = int(Interpolation.AREA) | int(Interpolation.FULL_CHR_H_INT) | int(Interpolation.ACCURATE_RND)


def scaled_size(width: int, height: int, short_side: int, multiple: int = 1) -> tuple[int, int]:
    """Width and height in pixels with a shorter side of `short_side`, each rounded to a multiple of `multiple`."""
    scale = short_side / min(width, height)

    def scaled(side: int) -> int:
        return max(multiple, multiple * round(side * scale / multiple))

    return scaled(width), scaled(height)


def stored_frame(frame: av.VideoFrame, size: tuple[int, int], scaler: VideoReformatter) -> av.VideoFrame:
    """A frame of `size` (width, height) for the encoder of H.264 records.

    YUV keeps its matrix and range, so that shadows are not rounded; RGB and HDR become BT.601.
    """
    colour = {}
    if hdr.curve(frame):
        frame, scaler = av.VideoFrame.from_ndarray(_sdr(frame, size, scaler), format="rgb24"), VideoReformatter()
    if frame.format.is_rgb:
        colour = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG}
    return scaler.reformat(frame, *size, format="yuv420p", interpolation="AREA", threads=1, **colour)


def rgb(frame: av.VideoFrame, size: tuple[int, int], scaler: VideoReformatter) -> UInt8[np.ndarray, "H W 3"]:
    """Scales a frame of any format to RGB of `size` (width, height)."""
    if hdr.curve(frame):
        return _sdr(frame, size, scaler)
    return scaler.reformat(frame, *size, format="rgb24", interpolation=EXACT_AREA, threads=1).to_ndarray()


def _sdr(frame: av.VideoFrame, size: tuple[int, int], scaler: VideoReformatter) -> UInt8[np.ndarray, "H W 3"]:
    """RGB of an HDR frame: scaled first, because mapping takes longer.

    As planes: swscale makes wrong colours of half-size chroma where it writes packed RGB of 16 bits with these flags.
    """
    deep = scaler.reformat(frame, *size, format="gbrp16le", interpolation=EXACT_AREA, threads=1)
    return hdr.to_sdr(deep.to_ndarray(), frame)


def picture(
    pixels: UInt8[np.ndarray, "h w *C"], size: tuple[int, int], scaler: VideoReformatter
) -> UInt8[np.ndarray, "H W *C"]:
    """Scales a picture, RGB or one channel, to `size` (width, height)."""
    if size == pixels.shape[1::-1]:
        return pixels
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24" if pixels.ndim == 3 else "gray")
    return scaler.reformat(frame, *size, interpolation="AREA", threads=1).to_ndarray()


@dataclasses.dataclass(frozen=True)
class Fit:
    """How frames of one size become squares of `side` px.

    Attributes:
      how: "crop", the central square, as in training; "pad", the whole frame between borders; "squeeze", the whole
        frame, its longer side shortened.
      width, height: of the frames, which are scaled to `inner` first.
    """

    how: str
    side: int
    width: int
    height: int

    @property
    def inner(self) -> tuple[int, int]:
        """Width and height that a frame is scaled to."""
        if self.how == "squeeze":
            return self.side, self.side
        if self.how == "pad":
            scale = self.side / max(self.width, self.height)
            return max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return scaled_size(self.width, self.height, self.side)

    @property
    def shares(self) -> tuple[float, float]:
        """Along x and y, how long a displacement is in such a square: its share of that in a cropped one."""
        cropped = scaled_size(self.width, self.height, self.side)
        return self.inner[0] / cropped[0], self.inner[1] / cropped[1]

    def square(self, picture: UInt8[np.ndarray, "h w *C"], border: int) -> UInt8[np.ndarray, "side side *C"]:
        """The square of a picture of size `inner`; `border` is the value of what lies beyond it."""
        side, (height, width) = self.side, picture.shape[:2]
        if self.how == "pad":
            square = np.full((side, side, *picture.shape[2:]), border, np.uint8)
            y, x = (side - height) // 2, (side - width) // 2
            square[y : y + height, x : x + width] = picture
            return square
        y, x = sampling.crop_origin(height, width, side, 0.5, 0.5)
        return np.ascontiguousarray(picture[y : y + side, x : x + side])
