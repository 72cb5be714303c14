"""Videos as the clips that a trained run takes."""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator

from lift_flax.data.windows import frame_window
from lift_flax.errors import UserError
from lift_flax.predict.given import Source, name_of, opened
from lift_flax.runs.trained import TrainedRun
from lift_flax.video.clips import Clip, Preparation, Video, Windows, is_long, read_clips
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors
from lift_flax.video.scaling import FITS

_WHOLE = Windows(longest=math.inf)  # any video is one clip


@dataclasses.dataclass(frozen=True)
class ReadClip:
    """A clip of a video, and the seconds that it took to read."""

    clip: Clip
    seconds: float


@dataclasses.dataclass(frozen=True)
class VideoEnd:
    """Follows the clips of a video.

    Attributes:
      video: its name.
      notes: what is odd about it.
      error: why it cannot be used; its clips then do not count.
      is_long: whether it was cut into windows.
    """

    video: str
    notes: tuple[str, ...] = ()
    error: str = ""
    is_long: bool = False


def preparation_of(trained: TrainedRun, fit: str = "crop") -> Preparation:
    """Returns how videos become clips of this run: as its records did, without the encoding.

    Args:
      fit: how frames become squares (`Preparation`).

    Raises:
      UserError: `fit` is none of the ways.
    """
    if fit not in FITS:
        raise UserError(f"fit={fit!r} is unknown: choose {', '.join(FITS[:-1])} or {FITS[-1]}")
    config, prepared = trained.config, trained.prepared
    flow = prepared["flow"] if config.model.luminous.takes_flow else "none"
    window = frame_window(config)
    return Preparation(
        prepared["codec"],
        prepared["short_side"],
        prepared["max_frames"] if window is None else None,
        flow,
        config.data.num_frames,
        config.data.size,
        window,
        config.data.test_windows,
        fit,
    )


def usual_windows(
    trained: TrainedRun, longest: float | None = None, length: float | None = None, hop: float | None = None
) -> Windows:
    """How long videos are cut: each part that is None is the usual one of this run.

    A window is as long as the windows that the run has learnt from, else as its training videos, the median; of a run
    that knows neither, 4 s.  The usual hop is half of a window.

    Raises:
      UserError: the parts do not go together.
    """
    if length is None:
        window = frame_window(trained.config)
        length = (window.seconds if window else 0) or trained.clip_seconds or Windows.length
    return Windows(Windows.longest if longest is None else longest, length, length / 2 if hop is None else hop)


def read_video(
    video: Source, preparation: Preparation, windows: Windows, fps: float | None = None, *, tolerant: bool = False
) -> Iterator[Clip]:
    """Reads the clips of one video.

    Args:
      video: as a program may hand it over (lift_flax/predict/given.py).
      preparation: how it becomes clips.
      windows: how a long one is cut.
      fps: of frames in memory and of pictures; None: they are one clip.
      tolerant: a file that is damaged or cut off is read as far as it can be.

    Raises:
      VideoError: it cannot be used.
    """
    with coder_errors(), opened(video, fps, tolerant=tolerant) as (source, timed):
        yield from _clips(source, timed, preparation, windows)


def _clips(source: Video, timed: bool, preparation: Preparation, windows: Windows) -> Iterator[Clip]:
    """The clips of an open video.  `timed`: its frame rate is known."""
    if preparation.window and preparation.window.seconds and not timed:
        t, seconds = preparation.num_frames, preparation.window.seconds
        raise VideoError(f"no frame rate, and this run takes {t} frames in {seconds:g} s: give fps, as fps=30")
    return read_clips(source, preparation, windows if timed else _WHOLE)


def read_whole(video: Source, preparation: Preparation, fps: float | None = None) -> Clip:
    """Reads a video of any length as one clip, or its middle window.  Raises UserError if it cannot be used."""
    try:
        (clip,) = read_video(video, dataclasses.replace(preparation, places=1), _WHOLE, fps)
    except VideoError as error:
        raise UserError(f"{name_of(video)} cannot be used: {error}") from error
    return clip


def read_videos(
    videos: Iterable[Source],
    preparation: Preparation,
    windows: Windows,
    fps: float | None = None,
    *,
    tolerant: bool = False,
) -> Iterator[ReadClip | VideoEnd]:
    """Reads the clips of each video in order, as `read_video` does, and a VideoEnd after those of each."""
    for video in videos:
        try:
            since = time.perf_counter()
            with coder_errors(), opened(video, fps, tolerant=tolerant) as (source, timed):
                for clip in _clips(source, timed, preparation, windows):
                    yield ReadClip(clip, time.perf_counter() - since)
                    since = time.perf_counter()
            cut = timed and is_long(source, windows)
            yield VideoEnd(name_of(video), notes=source.notes, is_long=cut)
        except VideoError as error:
            yield VideoEnd(name_of(video), error=str(error))
