"""Turns one source video into the content of a record: a small, frame-exact clip, perhaps with its optical flow.

Frames of source files cannot be found by their number (B-frames, missing timestamps, wrong frame counts).  Frames of a
record can: an index is a place in the stream, and `num_frames` is true.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg
from av.video.reformatter import VideoReformatter
from jaxtyping import Float32, UInt8

from lift_flax.video import decode, flow_codes, optical_flow, scaling
from lift_flax.video.inspection import Inspection, inspect_video

from . import h264

JPEG_QUALITY = 90


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How clips are stored.

    Attributes:
      codec: h264; jpeg (each frame alone: three times the bytes, two to three times cheaper to decode); original (the
        source's own bytes, with all its frames).
      short_side: pixels of the shorter side; a smaller source keeps its size, rounded to even numbers.
      max_frames: the most frames to keep, those in the middle of equal spans of time; None keeps all.
      crf: x264's constant rate factor, lower is better.
      flow: method of the optical flow stored with the clip (see lift_flax/video/optical_flow.py), or none.
      gop: frames from one keyframe to the next.
    """

    codec: Literal["h264", "jpeg", "original"] = "h264"
    short_side: int = 256
    max_frames: int | None = 64
    crf: int = 18
    flow: Literal["none", "dis", "tvl1"] = "none"
    gop: int = 8


@dataclasses.dataclass(frozen=True)
class Transcoded:
    """A clip ready to be stored.

    Attributes:
      parts: "video" (an encoded video) or "frames" (JPEGs), and "flow" (see data_prep/h264.py).
      num_frames: frames in each part.
      times: seconds from which each of them stands for the source, float32 [num_frames].
      seconds: duration of the source.
      fps: stored frames per second, so that num_frames / fps is the duration of the source in seconds.
      source: facts about the source.
      flow_level: root of the mean square of the flow's codes about no motion; 0 without flow.
      flow_seconds: that the flow took, decoding and encoding included.
    """

    parts: dict[str, bytes | list[bytes]]
    num_frames: int
    times: Float32[np.ndarray, "N"]
    seconds: float
    fps: float
    source: Inspection
    flow_level: float = 0.0
    flow_seconds: float = 0.0


def transcode(path: bytes | str | Path, encoding: Encoding) -> Transcoded:
    """Encodes at most `encoding.max_frames` frames of a video in native order.

    The file is decoded once to inspect it and once for each part, so memory does not grow with its length.

    Args:
      path: the source, or its bytes.
      encoding: the settings.

    Raises:
      VideoError: the source is bad (lift_flax/video/inspection.py).
      UserError: OpenCV is not installed, but flow needs it.
    """
    info = inspect_video(path)
    limit = None if encoding.codec == "original" else encoding.max_frames
    kept, timing = info.timing.kept(limit)
    indices = kept.tolist()
    short_side = min(encoding.short_side, info.width, info.height)
    size = scaling.scaled_size(info.width, info.height, short_side, multiple=2)
    fps = max(Fraction(info.fps * len(indices) / info.num_frames).limit_denominator(1001), Fraction(1, 1001))

    parts: dict[str, bytes | list[bytes]] = {}
    if encoding.codec == "original":
        parts["video"] = path if isinstance(path, bytes) else Path(path).read_bytes()
    elif encoding.codec == "jpeg":
        parts["frames"] = list(_jpegs(path, indices, size))
    else:
        scaler = VideoReformatter()
        pictures = (scaling.stored_frame(frame, size, scaler) for _, frame in decode.iter_frames(path, indices))
        parts["video"] = h264.video(pictures, fps, crf=encoding.crf, gop=encoding.gop)
    level, started = _Level(), time.monotonic()
    if encoding.flow != "none":
        frames = functools.partial(decode.iter_frames, path)
        codes = optical_flow.codes(frames, indices, info.num_frames, size, encoding.flow)
        parts["flow"] = h264.flow(map(level.seen, codes), fps, gop=encoding.gop)
    times, took = timing.times.astype(np.float32), time.monotonic() - started
    return Transcoded(parts, len(indices), times, info.seconds, float(fps), info, level.root(), took)


class _Level:
    """How strong the flow of a clip is: the root of the mean square of its codes about no motion."""

    def __init__(self):
        self._sum = self._count = 0.0

    def seen(self, codes: UInt8[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "h w 2"]:
        """Counts one frame's codes and returns them."""
        self._sum += float(np.square(codes.astype(np.float32) - flow_codes.ZERO).mean())
        self._count += 1
        return codes

    def root(self) -> float:
        """Of all that was seen; 0 of nothing."""
        return math.sqrt(self._sum / self._count) if self._count else 0.0


def _jpegs(source: bytes | str | Path, indices: Sequence[int], size: tuple[int, int]) -> Iterator[bytes]:
    scaler = VideoReformatter()
    for _, frame in decode.iter_frames(source, indices):
        rgb = scaling.rgb(frame, size, scaler)
        yield simplejpeg.encode_jpeg(rgb, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
