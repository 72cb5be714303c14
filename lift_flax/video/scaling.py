"""Frames scaled by area, as they are for records and out of them.

Every function takes the `scaler` that it works with: one for each video and kind of result, because it remembers what
it last did, the colours of the source among it.
"""

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

# Averages over area.  Without both flags swscale cuts off fractions: frames come out 1 to 2.3 levels darker, depending
# on their width, which is much in the dark.
EXACT_AREA = int(Interpolation.AREA) | int(Interpolation.FULL_CHR_H_INT) | int(Interpolation.ACCURATE_RND)


def scaled_size(width: int, height: int, short_side: int, multiple: int = 1) -> tuple[int, int]:
    """Width and height in pixels once the shorter side is `short_side`, each rounded to a multiple of `multiple`."""
    scale = short_side / min(width, height)
    return tuple(max(multiple, multiple * round(side * scale / multiple)) for side in (width, height))


def stored_frame(frame: av.VideoFrame, size: tuple[int, int], scaler: VideoReformatter) -> av.VideoFrame:
    """The picture of `size` (width, height) that an H.264 record is coded from.

    YUV keeps its matrix and range (so shadows are not rounded); RGB becomes BT.601.
    """
    colour = {}
    if frame.format.is_rgb:
        colour = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG}
    return scaler.reformat(frame, *size, format="yuv420p", interpolation="AREA", threads=1, **colour)


def rgb(frame: av.VideoFrame, size: tuple[int, int], scaler: VideoReformatter) -> UInt8[np.ndarray, "H W 3"]:
    """A frame of any format as RGB of `size` (width, height)."""
    return scaler.reformat(frame, *size, format="rgb24", interpolation=EXACT_AREA, threads=1).to_ndarray()


def picture(
    pixels: UInt8[np.ndarray, "h w *C"], size: tuple[int, int], scaler: VideoReformatter
) -> UInt8[np.ndarray, "H W *C"]:
    """RGB or one channel, scaled to `size` (width, height)."""
    if size == pixels.shape[1::-1]:
        return pixels
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24" if pixels.ndim == 3 else "gray")
    return scaler.reformat(frame, *size, interpolation="AREA", threads=1).to_ndarray()
