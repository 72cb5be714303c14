"""Clips of a video that a stranger sent: read in a process of its own, within limits, so that it can harm nothing."""

import dataclasses
import resource
import time
from pathlib import Path

import av

from lift_flax.video.clips import Clip, Preparation, Windows, is_long, open_file, read_clips
from lift_flax.video.decode import VideoError, container_of, open_video
from lift_flax.video.guarded.pool import run_each
from lift_flax.video.inspection import coder_errors


@dataclasses.dataclass(frozen=True)
class GuardedVideo:
    """A video that was read.

    Attributes:
      clips: of it.
      notes: what is odd about the file.
      seconds: that reading took.
      is_long: whether it was cut into windows.
    """

    clips: list[Clip]
    notes: tuple[str, ...]
    seconds: float
    is_long: bool


@dataclasses.dataclass(frozen=True)
class Caps:
    """What a video may take.

    Attributes:
      pixels: of a frame.
      minutes: of the video, as its container says.
      clips: that it is cut into.
      seconds: to read it.
      gigabytes: of memory.
      answer_gigabytes: of its clips together, which the asking process gets.
    """

    pixels: int = 4096 * 2304
    minutes: float = 10.0
    clips: int = 1200
    seconds: float = 60.0
    gigabytes: float = 4.0
    answer_gigabytes: float = 0.5


def read_guarded(path: Path, preparation: Preparation, windows: Windows, caps: Caps) -> GuardedVideo:
    """Reads a video as `read_clips` does, in another process.

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


def _read(path: Path, preparation: Preparation, windows: Windows, caps: Caps) -> GuardedVideo:
    most = int(caps.gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    began = time.perf_counter()
    try:
        _check(path, caps)
        with coder_errors():
            video = open_file(path)
            clips: list[Clip] = []
            size = 0
            for clip in read_clips(video, preparation, windows):
                if not clips or clip.parts is not clips[-1].parts:
                    size += sum(part.nbytes for part in clip.parts.values())
                clips.append(clip)
                if len(clips) > caps.clips or size > caps.answer_gigabytes * 2**30:
                    raise VideoError(f"too long for this network: more than {len(clips) - 1:,} clips; cut it")
    except MemoryError:
        raise VideoError(f"takes more than {caps.gigabytes:g} GiB of memory to read") from None
    return GuardedVideo(clips, video.notes, time.perf_counter() - began, is_long(video, windows))


def _check(path: Path, caps: Caps) -> None:
    """Raises VideoError where the header says already that the video is too much."""
    with open_video(path) as stream:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > caps.pixels:
            raise VideoError(f"{width}x{height} px: at most {caps.pixels:,} pixels are taken")
        length = container_of(stream).duration  # where the stream does not say it, as in Matroska
        seconds = length / av.time_base if length else 0.0
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        if seconds > 60 * caps.minutes:
            raise VideoError(f"{seconds / 60:.0f} minutes long: at most {caps.minutes:g} are taken")
