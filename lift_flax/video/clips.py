"""Clips out of a video of any length, as evaluation sees those of the records: the same frames, scaled the same way.

A record keeps up to `max_frames` frames of a short side of 256 px, and a clip takes T of those; so does this, without
the coding between.  A long video is read as windows of some seconds, in one pass over its frames and in memory that
does not grow with its length.

Nothing here imports JAX.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Int, UInt8

from lift_flax.errors import UserError
from lift_flax.video import optical_flow, sampling, scaling
from lift_flax.video.decode import VideoError, iter_frames
from lift_flax.video.inspection import inspect_video

Parts = dict[str, np.ndarray]  # as in lift_flax/data/clip_reader.py, which loads a library that this does without
_ARRAY_FPS = 25.0  # of frames in memory, whose rate nobody told: only their times hang on it


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What happened to videos before a network saw them.

    Attributes:
      codec, short_side, max_frames: of the records that it learnt from (data_prep/transcode.py); None keeps all frames.
      flow: method of their optical flow, or none where the network takes none.
      num_frames: T.
      size: px, side of the square frames.
    """

    codec: str
    short_side: int
    max_frames: int | None
    flow: str
    num_frames: int
    size: int


@dataclasses.dataclass(frozen=True)
class Windows:
    """How a long video is cut.

    Attributes:
      longest: seconds up to which a video is one clip.
      length: seconds of a window.
      hop: seconds from the start of one window to the start of the next.
    """

    longest: float = 30.0
    length: float = 4.0
    hop: float = 2.0

    def __post_init__(self) -> None:
        if not (self.longest > 0 and 0 < self.hop <= self.length < math.inf):  # nor one that is no number
            raise UserError(
                f"--longest={self.longest:g}, --window={self.length:g}, --hop={self.hop:g} (seconds): all must be "
                "above 0, and --hop at most --window"
            )


@dataclasses.dataclass(frozen=True)
class Clip:
    """A part of a video, ready for a network.

    Attributes:
      start, end: seconds from its beginning.
      indices: native frames that were taken, [T].
      parts: "clip" uint8 [T,size,size,3], and "flow" uint8 [T,size,size,2] where it is wanted.
    """

    start: float
    end: float
    indices: Int[np.ndarray, "T"]
    parts: Parts


@dataclasses.dataclass(frozen=True)
class Video:
    """Frames by number, from a file or from memory.

    Attributes:
      num_frames: how many.
      fps: frames per second, on average.
      width, height: pixels of the first frame, upright.
      notes: what is odd about it (lift_flax/video/inspection.py).
      frames: native indices -> (index, frame), in native order.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    notes: tuple[str, ...]
    frames: Callable[..., Iterator[tuple[int, av.VideoFrame]]]


def open_file(path: Path) -> Video:
    """Decodes all of a file once, as data preparation does.  Raises VideoError where it is bad."""
    info = inspect_video(path)
    return Video(info.num_frames, info.fps, info.width, info.height, info.notes, functools.partial(iter_frames, path))


def open_array(frames: np.ndarray) -> Video:
    """RGB frames in memory, uint8 [T,H,W,3].  Raises VideoError for anything else, or fewer than two frames."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise VideoError(f"{frames.dtype} {list(frames.shape)}: frames are uint8 [T, H, W, 3]")
    if len(frames) < 2:
        raise VideoError("only one frame" if len(frames) else "no frames")

    def take(indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for index in sorted({int(i) for i in indices}):
            yield index, av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[index]), format="rgb24")

    return Video(len(frames), _ARRAY_FPS, frames.shape[2], frames.shape[1], (), take)


def read_clips(video: Video, how: Preparation, windows: Windows) -> Iterator[Clip]:
    """The whole video as one clip, or its windows in order, each as soon as its last frame is read.

    Raises:
      VideoError: it breaks off, or cannot be scaled.
    """
    spans = _spans(video, windows)
    taken = [_indices(video, span, how) for span in spans]
    wanted = sorted({int(index) for indices in taken for index in indices})
    frames = _scaled(video, wanted, how)
    flows = _flows(video, wanted, how)
    seen: dict[int, Parts] = {}
    for place, (span, indices) in enumerate(zip(spans, taken, strict=True)):
        while indices[-1] not in seen:
            index, frame = next(frames)
            seen[index] = {"clip": frame} | ({"flow": next(flows)} if flows else {})
        rows = [seen[int(index)] for index in indices]
        parts = {name: np.stack([row[name] for row in rows]) for name in rows[0]}  # [H,W,C] -> [T,H,W,C]
        yield Clip(*span, indices, parts)
        first = taken[place + 1][0] if place + 1 < len(taken) else math.inf
        seen = {index: row for index, row in seen.items() if index >= first}


def _spans(video: Video, windows: Windows) -> list[tuple[float, float]]:
    """(start, end) of each clip in seconds; the last window ends with the video."""
    duration = video.num_frames / video.fps
    if duration <= max(windows.longest, windows.length):
        return [(0.0, duration)]
    count = math.ceil((duration - windows.length) / windows.hop - 1e-6) + 1  # rounding makes no window
    starts = [min(i * windows.hop, duration - windows.length) for i in range(count)]
    return [(start, start + windows.length) for start in starts]


def _indices(video: Video, span: tuple[float, float], how: Preparation) -> Int[np.ndarray, "T"]:
    """Native frames of a clip: those that a record of this span would hold, and of those the ones evaluation takes."""
    first = min(int(span[0] * video.fps + 0.5), video.num_frames - 1)
    last = min(max(int(span[1] * video.fps + 0.5), first + 1), video.num_frames)
    stored = np.arange(last - first)
    if how.max_frames is not None and len(stored) > how.max_frames:
        stored = sampling.eval_indices(len(stored), how.max_frames)
    return first + stored[sampling.eval_indices(len(stored), how.num_frames)]


def stored_size(width: int, height: int, how: Preparation) -> tuple[int, int]:
    """Width and height of the record of a video of this size."""
    return scaling.scaled_size(width, height, min(how.short_side, width, height), multiple=2)


def _final_size(width: int, height: int, how: Preparation) -> tuple[int, int]:
    size = (width, height) if how.codec == "original" else stored_size(width, height, how)
    return scaling.scaled_size(*size, how.size)


def _cropped(picture: UInt8[np.ndarray, "h w *C"], size: int) -> UInt8[np.ndarray, "H W *C"]:
    """The square in the middle."""
    y, x = sampling.crop_origin(*picture.shape[:2], size, 0.5, 0.5)
    return np.ascontiguousarray(picture[y : y + size, x : x + size])


def _scaled(video: Video, wanted: list[int], how: Preparation) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
    """Square frames, through the same scalings that `how` gave the records."""
    scale = frame_scaler(video.width, video.height, how)
    for index, frame in video.frames(wanted):
        yield index, scale(frame)


def frame_scaler(
    width: int, height: int, how: Preparation
) -> Callable[[av.VideoFrame], UInt8[np.ndarray, "size size 3"]]:
    """A function from the frames of one video of this size to square ones."""
    stored, size = stored_size(width, height, how), _final_size(width, height, how)
    first, second = VideoReformatter(), VideoReformatter()

    def scaled(frame: av.VideoFrame) -> UInt8[np.ndarray, "size size 3"]:
        if how.codec == "h264":
            picture = scaling.rgb(scaling.stored_frame(frame, stored, first), size, second)
        elif how.codec == "jpeg":
            picture = scaling.picture(scaling.rgb(frame, stored, first), size, second)
        else:
            picture = scaling.rgb(frame, size, first)
        return _cropped(picture, how.size)

    return scaled


def _flows(video: Video, wanted: list[int], how: Preparation) -> Iterator[UInt8[np.ndarray, "H W 2"]] | None:
    """Coded flow of each wanted frame, as records hold it; None where it is not wanted."""
    if how.flow == "none":
        return None
    size = stored_size(video.width, video.height, how)
    codes = optical_flow.codes(video.frames, wanted, video.num_frames, size, how.flow)
    return map(flow_scaler(video.width, video.height, how), codes)


def flow_scaler(
    width: int, height: int, how: Preparation
) -> Callable[[UInt8[np.ndarray, "h w 2"]], UInt8[np.ndarray, "size size 2"]]:
    """The same for coded flow, in pixels of the stored size before and after."""
    size, scaler = _final_size(width, height, how), VideoReformatter()

    def channel(codes: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "size size"]:
        return _cropped(scaling.picture(codes, size, scaler), how.size)

    return lambda codes: np.stack([channel(codes[..., 0]), channel(codes[..., 1])], axis=-1)  # [size, size, 2]
