"""How bright the frames of a video are: histograms of their luma."""

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from jaxtyping import Int, UInt8

from lift_flax.video import scaling
from lift_flax.video.gamma import LUMA
from lift_flax.video.picture import hdr

BINS = 32  # of the histogram, each 8 levels wide
_SHORT_SIDE = 128  # px; of a larger picture, only pixels on a grid are counted
_FULL_RANGE = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.int64)  # of studio levels


def of_rgb(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """Luma of RGB."""
    return np.round(pixels @ np.array(LUMA, np.float32)).astype(np.uint8)


def of_frame(frame: av.VideoFrame) -> tuple[UInt8[np.ndarray, "H W"], Int[np.ndarray, "256"]]:
    """(Luma as it is coded, in 8 bits; number of pixels at each level from 0 to 255, of HDR as it is mapped to SDR)."""
    first = frame.format.components[0]
    if frame.format.is_planar and first.is_luma and first.bits == 8:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)  # [H, padded W]
        luma, full_range = rows[: frame.height, : frame.width], frame.color_range == ColorRange.JPEG
    else:
        grey = frame.reformat(format="gray", dst_color_range=ColorRange.JPEG, threads=1)
        luma, full_range = grey.to_ndarray(), True
    if hdr.curve(frame):
        size = scaling.scaled_size(frame.width, frame.height, min(_SHORT_SIDE, frame.width, frame.height))
        return luma, histogram(of_rgb(scaling.rgb(frame, size, VideoReformatter())))
    levels = histogram(luma)
    return luma, levels if full_range else _stretched(levels)


def histogram(luma: UInt8[np.ndarray, "H W"]) -> Int[np.ndarray, "256"]:
    """Number of pixels at each level; of a large picture, of the pixels on a grid."""
    step = max(1, min(luma.shape) // _SHORT_SIDE)
    return np.bincount(luma[::step, ::step].ravel(), minlength=256)


def _stretched(levels: Int[np.ndarray, "256"]) -> Int[np.ndarray, "256"]:
    """Levels 16 to 235 as 0 to 255."""
    return np.bincount(_FULL_RANGE, weights=levels, minlength=256).astype(np.int64)


def summary(levels: Int[np.ndarray, "256"]) -> tuple[tuple[float, ...], float]:
    """(Share of the pixels in each of `BINS` ranges, mean) of the counts of levels."""
    shares = levels / levels.sum()
    bins = np.round(shares.reshape(BINS, -1).sum(axis=1), 5)  # [256] -> [bins]
    return tuple(bins.tolist()), float(np.dot(shares, np.arange(256)))
