"""Scales frames by averaging over area, for records and for clips; HDR becomes SDR on the way.

Every function takes a `scaler`.  Use one for each video and kind of result: it keeps its last settings, among them the
colours of the source.
"""

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

from lift_flax.video.picture import hdr

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
