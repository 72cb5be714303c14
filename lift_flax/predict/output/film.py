"""A film of an answer: the video with its label, bars of the likeliest classes and a timeline burnt in."""

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from lift_flax.errors import UserError
from lift_flax.files import refuse_existing, replacing
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.given import name_of, opened
from lift_flax.predict.named_videos import distinct_names
from lift_flax.predict.spool import is_pipe
from lift_flax.video import encode, scaling
from lift_flax.video.clips import Video
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors

_TELLS = 25  # frames from one report of the progress to the next


def targets(out: Path, videos: Sequence[Path | str], *, overwrite: bool) -> list[Path]:
    """The file of each video's film: `out` for one, else files named after the videos in the folder `out`.

    Raises:
      UserError: `out` is a file and there are several videos, a film exists already, or would replace its own video; or
        a video is a pipe, which can be read only once.
    """
    if len(videos) == 1 and out.suffix == ".mp4" and not out.is_dir():
        found = [out]
    elif out.suffix == ".mp4" and not out.is_dir():
        raise UserError(f"--film={out} is one film, and there are {len(videos)} videos: name a folder")
    elif out.suffix and not out.is_dir():
        raise UserError(f"--film={out}: a film is a .mp4; name one, or a folder without an ending")
    else:
        found = [out / f"{name}.mp4" for name in distinct_names(videos)]
    if len(found) == 1 and not found[0].parent.is_dir() and found[0] == out:
        raise UserError(f"--film={out}: the folder {out.parent} does not exist: make it, or choose another one")
    for video, film in zip(videos, found, strict=True):
        if is_pipe(Path(video)):
            raise UserError(f"--film reads a video once more, and {video} is a pipe: save it to a file first")
        if film.exists() and os.path.exists(video) and os.path.samefile(film, video):
            raise UserError(f"--film={film} would replace the video itself: choose another name")
        refuse_existing(film, overwrite=overwrite)
    return found


def write(
    path: Path,
    video: Path | str,
    answer: VideoAnswer,
    *,
    fps: float | None = None,
    tolerant: bool = False,
    tell: Callable[[float], None] = lambda share: None,
) -> None:
    """Writes the film of a video, whole or not at all: H.264 of its own frame rate, upright, at most 1280 px wide.

    Frames are read, drawn and encoded one by one.

    Args:
      answer: for the video, not an error.
      fps: of pictures, as the predictor was given it.
      tolerant: reads a damaged video as far as it can be read.
      tell: is called with the share of the frames that are done.

    Raises:
      UserError: the video cannot be read a second time, or its folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with coder_errors(), opened(video, fps, tolerant=tolerant) as (source, _), replacing(path) as part:
            encode.film(part, _frames(source, answer, tell), *_pace(source))
    except VideoError as error:
        raise UserError(f"{name_of(video)} cannot be filmed: {error}") from error


def _pace(source: Video) -> tuple[Fraction, list[float] | None]:
    """Frames per second, and the seconds of each frame where they are not equally long."""
    fps = Fraction(source.timing.fps).limit_denominator(1001)
    return fps, None if source.timing.constant else source.timing.times.tolist()


def _frames(source: Video, answer: VideoAnswer, tell: Callable[[float], None]) -> Iterator[UInt8[np.ndarray, "H w 3"]]:
    from lift_flax.predict.output.film_frame import FilmFrames, film_size  # loads what draws, which only a film needs

    size, times, scaler = film_size(source.width, source.height), source.timing.times, VideoReformatter()
    drawing = FilmFrames(answer, size, source.timing.seconds)
    for index, frame in source.frames(range(len(times))):
        yield drawing.draw(scaling.rgb(frame, size, scaler), float(times[index]))
        if index % _TELLS == 0 or index == len(times) - 1:
            tell((index + 1) / len(times))
