"""Writes files whole or not at all, and reserves folders for one process."""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError, system_reason


def write_text(path: Path, text: str) -> None:
    """Replaces the content of `path` by `text`; readers see the old file or the new one, never a part."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write a file to; the file replaces `path` when the block ends.

    If the block raises, `path` stays as it was and the part is removed.  The part is hidden, has the suffix of `path`
    (libraries choose a format by it) and a name of its own, on every host.  An error of a full disk, which names no
    file, leaves with the folder as its `filename`.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
            error.filename = str(path.absolute().parent)
        raise


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder beside `path` to write files into; it becomes `path` when the block ends.

    A folder that is there already goes then, with all that it holds: check before what it is.  If the block raises,
    `path` stays as it was and the part is removed.
    """
    number = secrets.token_hex(8)
    part, old = (path.with_name(f".{path.name}.{number}.{what}") for what in ("part", "old"))
    try:
        part.mkdir()
        yield part
        if path.exists():
            os.replace(path, old)
        os.replace(part, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raises UserError where `path` exists, unless it may be replaced: nothing that a user names is lost unasked.

    Devices and pipes are never replaced.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is no regular file: choose another name")
    if path.exists() and not overwrite:
        raise UserError(
            f"{path} exists: choose another name, or replace it with --overwrite (in Python overwrite=True)"
        )


def check_writable(path: Path) -> None:
    """Raises UserError where no file can be made beside `path`, before the work that would be lost."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=path.suffix):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {system_reason(error)}; choose another place") from error


@contextlib.contextmanager
def only_writer(folder: Path, flag: str) -> Iterator[None]:
    """Makes `folder` and locks it, by its file `lock`, for the block; the system unlocks it if this process ends.

    Args:
      folder: reserved for this process.
      flag: what names the folder, for messages: a flag, or an argument of Python calls.

    Raises:
      UserError: another process has the lock, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {system_reason(error)}; choose another {flag}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another process is writing to {folder}: wait for it or choose another {flag}") from error
        except OSError as error:  # some network file systems have no locks
            print(f"cannot lock {folder} ({system_reason(error)}): make sure that no other process writes to it")
        yield
