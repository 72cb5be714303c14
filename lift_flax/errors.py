"""The line between the user's mistake (exit code 2, one line) and ours (exit code 1, a traceback)."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """Something the user can mend.  The message is one line: what is wrong, where, and what to do."""


class ArgumentParser(argparse.ArgumentParser):
    """A bad flag is one line, as every other mistake.  Sub-commands inherit that."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def run(main: Callable[[], None]) -> None:
    """Runs a command line `main` and ends the process: 0 done, 2 on `UserError` with its one line on stderr."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os._exit(141)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # at once: threads that compile or load data may crash in an ordinary exit
