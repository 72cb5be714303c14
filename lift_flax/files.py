"""Writing small files whole or not at all, and folders that one process writes to."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError, system_reason


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by `text`; whoever reads meanwhile sees the old file or the new one, never a part."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write a file to, which takes the place of `path` when the block ends.

    Where the block raises, `path` stays as it was and the part is removed.  The part is hidden, has the suffix of
    `path` (libraries choose a format by it) and belongs to this process alone.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def only_writer(folder: Path, flag: str) -> Iterator[None]:
    """Makes `folder` and holds its file `lock`, which the system lets go of however this process ends.

    Raises:
      UserError: another process holds it, or the folder cannot be made; tells to choose another `flag`.
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
            print(f"cannot lock {folder} ({system_reason(error)}): see that no other process writes to it")
        yield
