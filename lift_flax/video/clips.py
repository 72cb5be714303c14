"""Clips out of a video of any length, sampled and scaled exactly as clips of records are, but without re-encoding.

A record keeps up to `max_frames` frames of a short side of 256 px, and a clip takes T of those.  A long video is read
as windows of some seconds, in one pass over its frames and in memory that does not grow with its length.
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
from lift_flax.video import flow_codes, optical_flow, sampling, scaling
from lift_flax.video.decode import iter_frames
from lift_flax.video.inspection import inspect_video

Parts = dict[str, np.ndarray]  # "clip" uint8 [T,H,W,3], and "flow" uint8 [T,H,W,2] if it is used


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How videos become the input of a network.

    Attributes:
      codec, short_side, max_frames: of the records that it was trained on (data_prep/transcode.py); None keeps all
        frames.
      flow: method of their optical flow; "none" if the network takes no flow.
      num_frames: T.
      size: px, side of the square frames.
      window: how T frames in a row are taken; None spreads them over the whole clip.
      places: windows of a video that is one clip, evenly spread over it; each is a clip then.
      fit: how a frame becomes a square: "crop", its central square, as in training; "pad", all of it between black
        borders; "squeeze", all of it, its longer side shortened.
    """

    codec: str
    short_side: int
    max_frames: int | None
    flow: str
    num_frames: int
    size: int
    window: sampling.FrameWindow | None = None
    places: int = 1
    fit: str = "crop"


_SHORTEST = 0.01  # s from one window to the next


@dataclasses.dataclass(frozen=True)
class Windows:
    """How a long video is cut into windows.

    Attributes:
      longest: seconds up to which a video is one clip.
      length: seconds of a window.
      hop: seconds from the start of one window to the start of the next.

    Raises:
      UserError: a length is too short, or the hop is above the length of a window.
    """

    longest: float = 30.0
    length: float = 4.0
    hop: float = 2.0

    def __post_init__(self) -> None:
        if not (self.longest > 0 and _SHORTEST <= self.hop <= self.length < math.inf):  # false for NaN, too
            raise UserError(
                f"longest {self.longest:g} s, window {self.length:g} s, hop {self.hop:g} s: the first must be above 0, "
                f"the others {_SHORTEST:g} s or more, and the hop at most a window"
            )


@dataclasses.dataclass(frozen=True)
class Clip:
    """A part of a video, ready for a network.

    Attributes:
      start, end: seconds from its beginning.
      indices: native frames of the clip, [T]; a frame that stays on screen may come more than once.
      parts: "clip" uint8 [T,size,size,3], and "flow" uint8 [T,size,size,2] if it is used.
    """

    start: float
    end: float
    indices: Int[np.ndarray, "T"]
    parts: Parts


@dataclasses.dataclass(frozen=True)
class Video:
    """Frames by number, from a file or from memory.

    Attributes:
      timing: when each of its frames is on screen; two frames at least.
      width, height: pixels of the first frame, upright.
      notes: oddities (lift_flax/video/inspection.py).
      frames: a function from native indices to (index, frame), in native order.
    """

    timing: sampling.Timing
    width: int
    height: int
    notes: tuple[str, ...]
    frames: Callable[..., Iterator[tuple[int, av.VideoFrame]]]


def open_file(source: bytes | Path, *, tolerant: bool = False) -> Video:
    """Opens an encoded video, and decodes all of it once to check it.

    Args:
      source: the path of a file, or its bytes.
      tolerant: notes what is missing or damaged, where enough of it can be read, instead of raising it.

    Raises:
      VideoError: the video is bad.
    """
    info = inspect_video(source, tolerant=tolerant)
    frames = functools.partial(iter_frames, source, tolerant=tolerant)
    return Video(info.timing, info.width, info.height, info.notes, frames)


def read_clips(video: Video, preparation: Preparation, windows: Windows) -> Iterator[Clip]:
    """Yields the whole video as one clip, or its windows in order, each as soon as its last frame is read.

    A window that shows the same frames as the one before, as in a pause, has the same `parts`, not a copy.

    Args:
      video: where frames come from.
      preparation: how frames are sampled and scaled.
      windows: how a long video is cut.

    Raises:
      VideoError: the video breaks off, or cannot be scaled.
    """
    choices = [*_choices(video, preparation, windows)]
    indices_of = [chosen for _, chosen in choices]
    indices = sorted({int(index) for clip in indices_of for index in clip})
    frames = _scaled(video, indices, preparation)
    flows = _flows(video, indices, preparation)
    kept: dict[int, Parts] = {}  # frames that this clip or a later one takes
    parts: Parts = {}
    for number, (span, clip) in enumerate(choices):
        while clip.max() not in kept:
            index, frame = next(frames)
            kept[index] = {"clip": frame} | ({"flow": next(flows)} if flows else {})
        if not number or not np.array_equal(clip, indices_of[number - 1]):
            pictures = [kept[int(index)] for index in clip]
            parts = {name: np.stack([picture[name] for picture in pictures]) for name in pictures[0]}  # -> [T,H,W,C]
        yield Clip(*span, clip, parts)
        first = indices_of[number + 1].min() if number + 1 < len(choices) else math.inf
        kept = {index: picture for index, picture in kept.items() if index >= first}


def is_long(video: Video, windows: Windows) -> bool:
    """Whether a video is cut into windows."""
    return video.timing.seconds > max(windows.longest, windows.length)


def _spans(video: Video, windows: Windows) -> list[tuple[float, float]]:
    """(start, end) of each clip in seconds; the last window ends with the video."""
    duration = video.timing.seconds
    if not is_long(video, windows):
        return [(0.0, duration)]
    count = math.ceil((duration - windows.length) / windows.hop - 1e-6) + 1  # rounding makes no window
    starts = [min(i * windows.hop, duration - windows.length) for i in range(count)]
    return [(start, start + windows.length) for start in starts]


def _choices(
    video: Video, preparation: Preparation, windows: Windows
) -> Iterator[tuple[tuple[float, float], Int[np.ndarray, "T"]]]:
    """((start, end) in seconds, native frames) of each clip."""
    spans, window, count = _spans(video, windows), preparation.window, preparation.num_frames
    if window is None:
        yield from ((span, _indices(video, span, preparation)) for span in spans)
    elif len(spans) > 1:  # around the middle of each part, and beyond it where the part is shorter
        yield from ((span, window.around(video.timing, count, (span[0] + span[1]) / 2)) for span in spans)
    else:
        times = np.append(video.timing.times, video.timing.seconds)
        for place in range(preparation.places):
            chosen = window.at(video.timing, count, (place + 0.5) / preparation.places)
            yield (float(times[chosen.min()]), float(times[chosen.max() + 1])), chosen


def _indices(video: Video, span: tuple[float, float], preparation: Preparation) -> Int[np.ndarray, "T"]:
    """Native frames of a clip: evaluation's choice among the frames that a record of this span would hold."""
    first, part = video.timing.part(*span)
    stored, of_record = part.kept(preparation.max_frames)
    return first + stored[of_record.middle(preparation.num_frames)]


def stored_size(width: int, height: int, preparation: Preparation) -> tuple[int, int]:
    """Width and height of the record of a video of this size."""
    return scaling.scaled_size(width, height, min(preparation.short_side, width, height), multiple=2)


def _fit(width: int, height: int, preparation: Preparation) -> scaling.Fit:
    """How frames of a video of this size become squares, of the size that they have in its record."""
    size = (width, height) if preparation.codec == "original" else stored_size(width, height, preparation)
    return scaling.Fit(preparation.fit, preparation.size, *size)


def _scaled(
    video: Video, indices: list[int], preparation: Preparation
) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
    """Square frames, through the same scalings as frames of the records."""
    scale = frame_scaler(video.width, video.height, preparation)
    for index, frame in video.frames(indices):
        yield index, scale(frame)


def frame_scaler(
    width: int, height: int, preparation: Preparation
) -> Callable[[av.VideoFrame], UInt8[np.ndarray, "size size 3"]]:
    """A function from the frames of a video of this size to square RGB frames."""
    stored = stored_size(width, height, preparation)
    fit = _fit(width, height, preparation)
    size = fit.inner
    first, second = VideoReformatter(), VideoReformatter()

    def scaled(frame: av.VideoFrame) -> UInt8[np.ndarray, "size size 3"]:
        if preparation.codec == "h264":
            picture = scaling.rgb(scaling.stored_frame(frame, stored, first), size, second)
        elif preparation.codec == "jpeg":
            picture = scaling.picture(scaling.rgb(frame, stored, first), size, second)
        else:
            picture = scaling.rgb(frame, size, first)
        return fit.square(picture, scaling.BLACK)

    return scaled


def _flows(video: Video, indices: list[int], preparation: Preparation) -> Iterator[UInt8[np.ndarray, "H W 2"]] | None:
    """Coded flow of each of the frames `indices`, as in records; None if the network takes no flow."""
    if preparation.flow == "none":
        return None
    size = stored_size(video.width, video.height, preparation)
    codes = optical_flow.codes(video.frames, indices, len(video.timing.times), size, preparation.flow)
    return map(flow_scaler(video.width, video.height, preparation), codes)


def flow_scaler(
    width: int, height: int, preparation: Preparation
) -> Callable[[UInt8[np.ndarray, "h w 2"]], UInt8[np.ndarray, "size size 2"]]:
    """A function from the coded flow of a video of this size to square flow.

    It stays in pixels of the stored size where frames are cropped.  Where they are made smaller than that, so is the
    flow along each axis: the network sees the displacement that belongs to what it sees.
    """
    fit, scaler = _fit(width, height, preparation), VideoReformatter()

    def channel(codes: UInt8[np.ndarray, "h w"], share: float) -> UInt8[np.ndarray, "size size"]:
        return fit.square(flow_codes.shortened(scaling.picture(codes, fit.inner, scaler), share), flow_codes.ZERO)

    x, y = fit.shares
    return lambda codes: np.stack([channel(codes[..., 0], x), channel(codes[..., 1], y)], axis=-1)  # [size, size, 2]
