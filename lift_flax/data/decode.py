"""Exact frames out of encoded video, with NumPy and PyAV only.

Loader worker processes import this file, so it must start fast and must never import JAX.  Decoding is one thread
per worker: with as many workers as cores, threads inside a decoder only add switching.
"""

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter


class VideoError(Exception):
    """A video cannot be used.  The message is the reason in a few words, without the name of the file."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video really holds: frames that decode, frames per second, and the size in pixels."""

    num_frames: int
    fps: float
    width: int
    height: int


def probe(source: bytes | str | Path) -> VideoInfo:
    """Counts the frames of `source` by decoding them all (containers often lie), in bounded memory.

    Raises:
      VideoError: the video is empty, damaged, or not a video.
    """
    with _open_video(source) as stream:
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        count, width, height = 0, 0, 0
        for frame in _decode(stream):
            if count == 0:
                width, height = frame.width, frame.height
            count += 1
    return VideoInfo(count, fps, width, height)


def iter_frames(
    source: bytes | str | Path, indices: Sequence[int] | np.ndarray | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Streams (native index, decoded frame) in native order, and stops after the last wanted frame.

    Args:
      source: an encoded video, or the path of one.
      indices: native indices wanted, in any order; repeats are yielded once.  None for every frame.

    Raises:
      VideoError: the video is empty, damaged, not a video, or shorter than an index asks.
      ValueError: an index is negative.
    """
    wanted = None if indices is None else {int(index) for index in indices}
    if wanted is not None and not wanted:
        return
    if wanted is not None and min(wanted) < 0:
        raise ValueError(f"frame indices start at 0, got {min(wanted)}")
    last = None if wanted is None else max(wanted)
    count = 0
    with _open_video(source) as stream:
        for frame in _decode(stream):
            if wanted is None or count in wanted:
                yield count, frame
            if count == last:
                return
            count += 1
    if last is not None:
        raise VideoError(f"has {count} frames, frame {last} was wanted")


def decode_frames(
    source: bytes | str | Path, indices: Sequence[int] | np.ndarray | None = None, short_side: int | None = None
) -> np.ndarray:
    """Decodes the frames at exact native indices to RGB.

    Args:
      source: an encoded video, or the path of one.
      indices: native indices, sorted or not, repeats allowed.  None for every frame in native order.
      short_side: pixels of the shorter side of the result (area filter, aspect kept).  None for the native size.

    Returns:
      uint8 RGB [T,H,W,3] with T = len(indices), row t being the frame at indices[t].

    Raises:
      VideoError: the video is empty, damaged, not a video, or shorter than an index asks.
      ValueError: an index is negative, or `indices` is empty.
    """
    if indices is not None and len(indices) == 0:
        raise ValueError("indices is empty: ask for at least one frame")
    reformatter = VideoReformatter()
    size: tuple[int, int] | None = None
    frames: dict[int, np.ndarray] = {}
    for index, frame in iter_frames(source, indices):
        if size is None:  # of the first frame, also for a stream whose size changes on the way
            size = scaled_size(frame.width, frame.height, short_side) if short_side else (frame.width, frame.height)
        rgb = reformatter.reformat(frame, *size, format="rgb24", interpolation="AREA", threads=1)
        frames[index] = rgb.to_ndarray()
    order = sorted(frames) if indices is None else [int(index) for index in indices]
    return np.stack([frames[index] for index in order])  # [H,W,3] -> [T,H,W,3]


def scaled_size(width: int, height: int, short_side: int, multiple: int = 1) -> tuple[int, int]:
    """Width and height in pixels once the shorter side is `short_side`, each rounded to a multiple of `multiple`."""
    scale = short_side / min(width, height)
    return tuple(max(multiple, multiple * round(side * scale / multiple)) for side in (width, height))


@contextlib.contextmanager
def _open_video(source: bytes | str | Path) -> Iterator[av.VideoStream]:
    """Opens the first video stream for one decoding thread; closes the container on every way out."""
    with _av_errors("not a video"):
        if isinstance(source, bytes):
            if not source:
                raise VideoError("empty (zero bytes)")
            container = av.open(io.BytesIO(source), metadata_errors="ignore")
        else:
            if os.path.isfile(source) and os.path.getsize(source) == 0:
                raise VideoError("empty (zero bytes)")
            container = av.open(f"file:{os.fspath(source)}", metadata_errors="ignore")
    with container:
        if not container.streams.video:
            raise VideoError("no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise VideoError("damaged, or coded in a way FFmpeg cannot decode")
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        yield stream


def _decode(stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """All frames in presentation order; a stream that breaks or holds none is a VideoError."""
    count = 0
    with contextlib.closing(stream.container.decode(stream)) as frames:
        while True:
            with _av_errors(f"damaged after {count} frames"):
                frame = next(frames, None)
            if frame is None:
                break
            yield frame
            count += 1
    if count == 0:
        raise VideoError("no frames")


@contextlib.contextmanager
def _av_errors(reason: str) -> Iterator[None]:
    """Turns what libav and the file system raise into a VideoError."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise VideoError(error.strerror.lower()) from error
    except (av.error.FFmpegError, OSError, EOFError) as error:
        raise VideoError(f"{reason} ({(getattr(error, 'strerror', None) or type(error).__name__).lower()})") from error
