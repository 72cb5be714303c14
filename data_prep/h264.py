"""The H.264 in the records: every frame is found by its number, and decoding is cheap.

The quality (CRF) of each data set is in lift_flax/data_sets.py, the defaults of what a user may choose are in
`transcode.Encoding`.
"""

import functools
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange
from jaxtyping import UInt8

from lift_flax.video import encode

FLOW_CRF = 12  # loses 0.02 px on average, where a code is 0.16 px wide
# No B-frames.  The preset veryfast takes half the time of the default one, for the same bytes and 0.6 dB (ARID clips,
# CRF 15).
_encode = functools.partial(encode.h264, tune="fastdecode", bf="0", preset="veryfast")


def video(frames: Iterable[av.VideoFrame], fps: Fraction, *, crf: int, gop: int) -> bytes:
    """Encodes the frames of a clip, in yuv420p; a frame's number is its place in the stream.

    Args:
      frames: pictures of one size.
      fps: frames per second.
      crf: x264's constant rate factor, lower is better.
      gop: frames from one keyframe to the next.
    """
    return _encode(frames, fps=fps, crf=crf, gop=gop)


def flow(codes: Iterable[UInt8[np.ndarray, "h w 2"]], fps: Fraction, *, gop: int) -> bytes:
    """Encodes coded optical flow as a grey video, u on the left and v on the right: colour is stored at half the size.

    Args:
      codes: bytes of lift_flax/video/flow_codes.py, one picture for each frame.
      fps: frames per second.
      gop: frames from one keyframe to the next.
    """
    return _encode(_side_by_side(codes), fps=fps, crf=FLOW_CRF, gop=gop, pix_fmt="gray")


def _side_by_side(codes: Iterable[UInt8[np.ndarray, "h w 2"]]) -> Iterator[av.VideoFrame]:
    for code in codes:
        picture = np.ascontiguousarray(np.concatenate([code[..., 0], code[..., 1]], axis=1))  # [h, 2w]
        frame = av.VideoFrame.from_ndarray(picture, format="gray")
        frame.color_range = ColorRange.JPEG
        yield frame
