"""Clips of a video that a stranger sent: read in a process of its own, within limits, so that it can harm nothing."""

import dataclasses
import resource
from pathlib import Path

from lift_flax.video.clips import Clip, Preparation, Windows, open_file, read_clips
from lift_flax.video.decode import VideoError, open_video
from lift_flax.video.guarded.pool import run_each
from lift_flax.video.inspection import coder_errors


@dataclasses.dataclass(frozen=True)
class Caps:
    """What a video may take.

    Attributes:
      pixels: of a frame.
      minutes: of the video, as its container says.
      clips: that it is cut into.
      seconds: to read it.
      gigabytes: of memory.
    """

    pixels: int = 4096 * 2304
    minutes: float = 10.0
    clips: int = 1200
    seconds: float = 60.0
    gigabytes: float = 4.0


def read_guarded(
    path: Path, preparation: Preparation, windows: Windows, caps: Caps
) -> tuple[list[Clip], tuple[str, ...]]:
    """Reads a video as `read_clips` does, in another process.

    Returns:
      Its clips, and what is odd about the file.
    Raises:
      VideoError: it cannot be used, or takes more than `caps`.
      UserError: no process can be started, or one was killed.
    """
    ((_, found),) = run_each(
        _read, {"the video": (path, preparation, windows, caps)}, workers=1, time_limit=caps.seconds
    )
    if isinstance(found, VideoError):
        raise found
    return found


def _read(path: Path, preparation: Preparation, windows: Windows, caps: Caps) -> tuple[list[Clip], tuple[str, ...]]:
    most = int(caps.gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        _check(path, caps)
        with coder_errors():
            video = open_file(path)
            clips = []
            for clip in read_clips(video, preparation, windows):
                clips.append(clip)
                if len(clips) > caps.clips:
                    raise VideoError(f"too long: more than {caps.clips:,} clips")
    except MemoryError:
        raise VideoError(f"takes more than {caps.gigabytes:g} GiB of memory to read") from None
    return clips, video.notes


def _check(path: Path, caps: Caps) -> None:
    """Raises VideoError where the header says already that the video is too much."""
    with open_video(path) as stream:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > caps.pixels:
            raise VideoError(f"{width}x{height} px: at most {caps.pixels:,} pixels are taken")
        seconds = stream.duration and stream.time_base and float(stream.duration * stream.time_base)
        if seconds and seconds > 60 * caps.minutes:
            raise VideoError(f"{seconds / 60:.0f} minutes long: at most {caps.minutes:g} are taken")
