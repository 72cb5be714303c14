"""The line between the user's mistakes (exit code 2, one line) and ours (exit code 1, a traceback)."""

import errno
import io
import os
import re
import sys
from collections.abc import Callable
from os import PathLike
from pathlib import Path

# control characters, all that break a line, and what is no text
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(Exception):
    """An error the user can fix.  The message is one line: what is wrong, where, and what to do."""


# Errors of the file system, which are no mistakes in this program, and what helps against each.
_ROOM = "make room there, then run the same command again"
_RIGHTS = "allow it to be read and written there, or choose another place"
_IN_THE_WAY = "move what is in the way, or choose another place"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit of the size of files, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EIO: "check the disk, then run the same command again",
    errno.ESTALE: "check the network file system, then run the same command again",
}


def shown(name: str | PathLike[str]) -> str:
    """A name on one line and as text: bytes that are not UTF-8 as \\xe9, line breaks and the like as \\n."""
    return _UNPRINTABLE.sub(_escaped, str(name))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file's name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode()


def system_reason(error: OSError) -> str:
    """Why the system refused, in lower case; the message of an `OSError` that a library raised without a reason."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def file_system_message(error: OSError, place: Path | None = None) -> str | None:
    """One-line message if `error` came from the file system, else None.

    Args:
      place: where this command writes, for an error that names no file.
    """
    if error.errno not in _ADVICE:
        return None
    where = error.filename or place
    return f"{system_reason(error)}{f' ({where})' if where else ''}: {_ADVICE[error.errno]}"


def run_cli(main: Callable[[], None]) -> None:
    """Runs a command line `main` and ends the process with its exit code.

    Names of files need not be text, so what the streams cannot write comes out escaped.

    0: done.  2, with one line on stderr: a `UserError` or an error of the file system.  1, with a traceback: any other.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has ended, as with `| head`
        os._exit(141)
    except OSError as error:
        message = file_system_message(error)
        if message is None:
            raise
        print(f"error: {shown(message)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # at once: threads that compile or load data may crash in an ordinary exit
