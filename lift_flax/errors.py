"""The line between the user's mistake (exit code 2, one line) and ours (exit code 1, a traceback)."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """Something the user can mend.  The message is one line: what is wrong, where, and what to do."""


# What a file system says of itself, not of a mistake in this program.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE}


def file_system_message(error: OSError) -> str | None:
    """The one line of an `error` that the disk is to blame for; None for any other."""
    if error.errno not in _OF_THE_DISK:
        return None
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror.lower()}{where}: see to the disk, then run the same command again"


class ArgumentParser(argparse.ArgumentParser):
    """A bad flag is one line, as every other mistake.  Sub-commands inherit that."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def run_cli(main: Callable[[], None]) -> None:
    """Runs a command line `main` and ends the process: 0 done, 2 with one line on stderr on the user's mistake.

    That is a `UserError`, or an error of the file system.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os._exit(141)
    except OSError as error:
        if not (told := file_system_message(error)):
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # at once: threads that compile or load data may crash in an ordinary exit
