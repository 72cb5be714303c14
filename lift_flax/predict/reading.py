"""Videos as the clips that a trained run takes."""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lift_flax.errors import UserError
from lift_flax.runs.trained import TrainedRun
from lift_flax.video.clips import Clip, Preparation, Video, Windows, open_array, open_file, read_clips
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors

Source = str | Path | np.ndarray  # a file, or uint8 RGB frames [T,H,W,3]
_WHOLE = Windows(longest=math.inf)  # any video is one clip


@dataclasses.dataclass(frozen=True)
class ReadClip:
    """A clip of a video, and the seconds that it took to read."""

    clip: Clip
    seconds: float


@dataclasses.dataclass(frozen=True)
class VideoEnd:
    """Follows the clips of a video; `error` says why a video cannot be used, its clips then do not count."""

    video: str
    notes: tuple[str, ...] = ()
    error: str = ""


def preparation_of(trained: TrainedRun) -> Preparation:
    """Returns how videos become clips of this run: as its records did, without the encoding."""
    config, prepared = trained.config, trained.prepared
    flow = prepared["flow"] if config.model.luminous.input == "flow" else "none"
    return Preparation(
        prepared["codec"], prepared["short_side"], prepared["max_frames"], flow, config.data.num_frames,
        config.data.size,
    )  # fmt: skip


def read_video(video: Source, how: Preparation, windows: Windows) -> Iterator[Clip]:
    """Reads the clips of one video.  Raises VideoError if it cannot be used."""
    with coder_errors():
        opened, windows = _opened(video, windows)
        yield from read_clips(opened, how, windows)


def read_whole(video: Source, trained: TrainedRun) -> Clip:
    """Reads a video of any length as one clip.  Raises UserError if it cannot be used."""
    try:
        (clip,) = read_video(video, preparation_of(trained), _WHOLE)
    except VideoError as error:
        raise UserError(f"{name_of(video)} cannot be used ({error}): give another video") from error
    return clip


def name_of(video: Source) -> str:
    """Returns the path of a video, or "frames" for an array."""
    return "frames" if isinstance(video, np.ndarray) else str(video)


def read_videos(videos: Iterable[Source], how: Preparation, windows: Windows) -> Iterator[ReadClip | VideoEnd]:
    """Reads the clips of each video in order, and a VideoEnd after those of each."""
    for video in videos:
        try:
            with coder_errors():
                since = time.perf_counter()
                opened, cut = _opened(video, windows)
                for clip in read_clips(opened, how, cut):
                    yield ReadClip(clip, time.perf_counter() - since)
                    since = time.perf_counter()
            yield VideoEnd(name_of(video), notes=opened.notes)
        except VideoError as error:
            yield VideoEnd(name_of(video), error=str(error))


def _opened(video: Source, windows: Windows) -> tuple[Video, Windows]:
    """Opens a video.  Frames in memory are one clip: their rate is unknown, so they cannot be cut by seconds."""
    if isinstance(video, np.ndarray):
        return open_array(video), _WHOLE
    return open_file(Path(video)), windows
