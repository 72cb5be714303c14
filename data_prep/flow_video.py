"""Coded optical flow as a video in a record."""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange
from jaxtyping import UInt8

from . import h264

CRF = 12  # loses 0.02 px on average, where a code is 0.16 px wide


def pack(codes: Iterator[UInt8[np.ndarray, "h w 2"]], size: tuple[int, int], fps: Fraction, *, gop: int) -> bytes:
    """One H.264 video without colour, u on the left and v on the right: colour would be stored at half the size."""

    def pictures() -> Iterator[av.VideoFrame]:
        for code in codes:
            picture = np.ascontiguousarray(np.concatenate([code[..., 0], code[..., 1]], axis=1))  # [h, 2w]
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame.color_range = ColorRange.JPEG
            yield frame

    return h264.encode(pictures(), (2 * size[0], size[1]), fps, crf=CRF, gop=gop, pix_fmt="gray")
