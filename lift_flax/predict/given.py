"""What a command line or a program gives as one video: told apart, opened, or refused with what to give instead."""

import contextlib
import errno
import numbers
import os
import reprlib
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lift_flax.errors import system_reason
from lift_flax.predict import spool
from lift_flax.predict.frames import open_frames
from lift_flax.predict.picture_folder import open_pictures
from lift_flax.video.clips import Video, open_file
from lift_flax.video.decode import VideoError
from lift_flax.video.paths import why_no_file

# The path of a file, of a pipe or of a folder of pictures; uint8 RGB frames [T,H,W,3] as an array of any library, or a
# list of frames; the bytes of a video file; a binary file that is open.
Source = object

_KINDS = "a path, frames (uint8 RGB [T, H, W, 3]), the bytes of a video file, or a file that is open in mode 'rb'"


def name_of(video: Source) -> str:
    """Returns the path or the name of a video; "frames" or "bytes" if it has none; what it is if it is no video."""
    if isinstance(video, str | os.PathLike):
        return os.fsdecode(video)
    if isinstance(video, bytes | bytearray | memoryview):
        return "bytes"
    if _is_number(video):
        return str(video)
    if isinstance(video, list | tuple) or hasattr(video, "__array__"):
        return "frames"
    if hasattr(video, "read"):
        name = getattr(video, "name", None)
        return name if isinstance(name, str) else "file"
    return reprlib.repr(video)


@contextlib.contextmanager
def opened(video: Source, fps: float | None = None, *, tolerant: bool = False) -> Iterator[tuple[Video, bool]]:
    """Opens a video for the block, and tells whether its frame rate is known.

    Args:
      video: see `Source`.
      fps: frames per second of what has no rate of its own, frames in memory and pictures.
      tolerant: see `open_file`.

    Raises:
      VideoError: it cannot be used.
    """
    if isinstance(video, str | os.PathLike):
        with _opened_path(video, fps, tolerant) as found:
            yield found
    elif isinstance(video, bytes | bytearray | memoryview):
        yield open_file(bytes(video), tolerant=tolerant), True
    elif _is_number(video):
        camera = "; a camera's frames go to stream()" if isinstance(video, numbers.Integral) else ""
        raise VideoError(f"{type(video).__name__}: give {_KINDS}{camera}")
    elif isinstance(video, list | tuple) or hasattr(video, "__array__"):
        yield open_frames(video, fps), fps is not None
    elif hasattr(video, "read"):
        with spool.spooled(spool.file_chunks(video)) as path:
            if not path.stat().st_size:
                raise VideoError("no bytes from its position on: seek(0) first if it was read before")
            yield open_file(path, tolerant=tolerant), True
    else:
        raise VideoError(f"{type(video).__name__}: give {_KINDS}")


def is_one_video(videos: object) -> bool:
    """Whether what should be several videos is one of them, or nothing to take videos from one by one."""
    if isinstance(videos, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(videos, "read"):
        return True
    return getattr(videos, "ndim", 1) in (0, 3, 4) or not isinstance(videos, Iterable)


def _is_number(video: Source) -> bool:
    """Numbers of NumPy look like arrays; a table has NaN where a path is missing."""
    return isinstance(video, numbers.Number | np.generic) and not isinstance(video, str | bytes)


@contextlib.contextmanager
def _opened_path(video: str | os.PathLike, fps: float | None, tolerant: bool) -> Iterator[tuple[Video, bool]]:
    text = os.fsdecode(video)
    if not text:
        raise VideoError(f"an empty path: give {_KINDS}")
    path, mode = Path(text), _mode(text)
    if stat.S_ISDIR(mode):
        yield open_pictures(path, fps), fps is not None
    elif spool.is_pipe(path):
        with spool.spooled(spool.pipe_chunks(path)) as copy:
            yield open_file(copy, tolerant=tolerant), True
    elif reason := why_no_file(text):
        raise VideoError(reason)
    else:
        yield open_file(path, tolerant=tolerant), True


def _mode(path: str) -> int:
    """What kind of thing `path` is; 0 if it is missing, or cannot be looked at."""
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return 0
        raise VideoError(system_reason(error)) from error
