"""Videos that can be read only once, pipes and open files: kept in a temporary file, because reading takes passes."""

import contextlib
import os
import re
import select
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lift_flax.command_line import say
from lift_flax.errors import system_reason
from lift_flax.video.decode import VideoError

_CHUNK = 2**20  # bytes
_SHARE = 0.9  # of the free room in the temporary folder that one video may take
_SILENCE = 3.0  # s without data, after which the wait is reported
_PATIENCE = 60.0  # s for somebody to open a named pipe for writing
_TICK = 0.1  # s of a wait
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/stdin")


@contextlib.contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[Path]:
    """Writes `chunks` to a temporary file, and yields its path for the block.

    Raises:
      VideoError: the temporary folder has too little room; the folder keeps a tenth of its free room.
    """
    with _temporary_file() as (file, path):
        written, room = 0, int(_SHARE * shutil.disk_usage(tempfile.gettempdir()).free)
        for chunk in chunks:
            written += len(chunk)
            if written > room:
                raise VideoError(_too_large(written, f"it may take {room / 2**20:,.0f} MiB"))
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise VideoError(_too_large(written, system_reason(error))) from error
        yield path


@contextlib.contextmanager
def _temporary_file() -> Iterator[tuple[Any, Path]]:
    """An open file and its path.

    Where the system shows open files as paths, it has no name, so it is gone even if this process is killed.
    """
    try:
        nameless = os.path.isdir("/proc/self/fd")
        file = tempfile.TemporaryFile() if nameless else tempfile.NamedTemporaryFile(prefix="lift_flax-")
    except OSError as error:
        raise VideoError(f"there is no folder for a temporary file ({system_reason(error)}): set TMPDIR") from error
    with file:
        yield file, Path(f"/proc/self/fd/{file.fileno()}" if nameless else file.name)


def _too_large(written: int, reason: str) -> str:
    place = tempfile.gettempdir()
    return (
        f"too large for the temporary folder {place}: stopped after {written / 2**20:,.0f} MiB ({reason}); set TMPDIR "
        "to a folder with more room, or give a file"
    )


def file_chunks(file: Any) -> Iterator[bytes]:
    """What an open binary file gives from its position on.  Raises VideoError for other kinds of files."""
    while True:
        try:
            chunk = file.read(_CHUNK)
        except Exception as error:  # of any library
            reason = next(iter(str(error).splitlines()), "")
            raise VideoError(f"it cannot be read ({type(error).__name__}: {reason})") from error
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise VideoError(f"its read() gives {type(chunk).__name__}: open it in mode 'rb'")
        if not chunk:
            return
        yield bytes(chunk)


def is_pipe(path: Path) -> bool:
    """Whether `path` is a pipe, or another thing that this process was given to read from."""
    return path.is_fifo() or (path.is_socket() and _descriptor(path) is not None)


def pipe_chunks(path: Path) -> Iterator[bytes]:
    """What is written to a pipe until its writers close it; after some seconds of silence a line says so.

    Raises:
      VideoError: nobody opens a named pipe for writing within a minute, or it cannot be read.
    """
    given = _descriptor(path)  # such a one has its writer already
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if given is None else os.dup(given)
    except OSError as error:
        raise VideoError(f"it cannot be read ({system_reason(error)})") from error
    since, has_writer, said = time.monotonic(), given is not None, False
    try:
        while True:
            chunk = _read(descriptor)
            if chunk:
                yield chunk
                since, has_writer, said = time.monotonic(), True, False
                continue
            if chunk == b"" and has_writer:
                return
            if chunk is None:
                has_writer = True
            else:
                time.sleep(_TICK)  # some systems call a pipe without a writer readable
            silence = time.monotonic() - since
            if not has_writer and silence > _PATIENCE:
                raise VideoError(f"nobody wrote to this pipe for {_PATIENCE:g} s")
            if silence > _SILENCE and not said:
                say(f"{path}: waiting for {'data' if has_writer else 'a program that writes to this pipe'}")
                said = True
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes | None:
    """The next bytes; None if there are none yet, b"" at the end, and while a named pipe has no writer."""
    events = select.poll()
    events.register(descriptor, select.POLLIN)
    if not events.poll(1000 * _TICK) and os.get_blocking(descriptor):
        return None
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        raise VideoError(f"it cannot be read ({system_reason(error)})") from error


def _descriptor(path: Path) -> int | None:
    """The open file of this process that `path` stands for, as /dev/stdin or the shell's <(...); else None."""
    match = _DESCRIPTOR.fullmatch(str(path))
    return int(match[1] or 0) if match else None
