"""What all command lines share: one way to write flags and to report bad ones, one way to show names and numbers."""

import argparse
import importlib
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lift_flax.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_DASHED_NAME = re.compile(r"-(?!-)(?!\d*\.?\d+$).")  # no flag of more than one letter, and no negative number


class ArgumentParser(argparse.ArgumentParser):
    """Flags are written in full, with hyphens or underscores; a bad one raises UserError.  So do sub-parsers."""

    def __init__(self, *args, allow_abbrev: bool = False, **options):
        super().__init__(*args, allow_abbrev=allow_abbrev, **options)

    def add_argument(self, *names: str, **options) -> argparse.Action:
        """As argparse's; flags are shown with hyphens."""
        return super().add_argument(*(with_hyphens(name) for name in names), **options)

    # argparse declares overloads for its types of namespace
    def parse_known_args(self, args=None, namespace=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse's, which all its ways to parse come to."""
        words = list(sys.argv[1:] if args is None else args)
        for word in words[: _end_of_flags(words)]:
            if word not in self._option_string_actions and (_DASHED_NAME.match(word) or _is_file(word)):
                self.error(f"'{word}' is read as a flag: write -- before names that begin with a hyphen")
        return super().parse_known_args(spell(words, with_hyphens), namespace)

    def error(self, message: str) -> NoReturn:
        """Raises UserError, where argparse would print its usage and exit."""
        raise UserError(f"{message} (see {self.prog} --help)")


def parser(doc: str | None, prog: str) -> ArgumentParser:
    """The parser of a command line that is described by `doc`, a text whose lines are kept, and started as `prog`.

    Also quietens absl's logging: libraries that use it raise what they log as an error.
    """
    quieten_absl(logging.ERROR)
    return ArgumentParser(prog=prog, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def quieten_absl(level: int) -> None:
    """Hides what absl logs below `level`."""
    importlib.import_module("absl.logging")  # first, because this makes the logger, of a class of its own
    logging.getLogger("absl").setLevel(level)


def spell(arguments: Sequence[str], spelling: Callable[[str], str]) -> list[str]:
    """`arguments` with the names of their flags changed by `spelling`; values, and all after `--`, stay as they are."""
    end = _end_of_flags(arguments)
    flags = [spelling(word) for word in arguments[:end]]
    return [*flags, *arguments[end:]]


def _is_file(word: str) -> bool:
    return word.startswith("--") and os.path.lexists(word)


def _end_of_flags(arguments: Sequence[str]) -> int:
    return list(arguments).index("--") if "--" in arguments else len(arguments)


def with_hyphens(word: str) -> str:
    """A flag `--data_dir=A_B` as `--data-dir=A_B`; other words as they are."""
    return _respell(word, "_", "-")


def with_underscores(word: str) -> str:
    """A flag `--data-dir=A-B` as `--data_dir=A-B`; other words as they are."""
    return _respell(word, "-", "_")


def _respell(word: str, old: str, new: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace(old, new)}{equals}{value}"


def command(*words: str) -> str:
    """A `lift-flax` command to paste into a shell: quoted, and found where the shell does not find it by that name."""
    script, known = Path(sys.executable).with_name("lift-flax"), shutil.which("lift-flax")
    if known and script.is_file() and Path(known).samefile(script):
        program = ["lift-flax"]
    elif script.is_file():
        inside = script.is_relative_to(Path.cwd())
        program = [str(script.relative_to(Path.cwd()) if inside else script)]
    else:  # a checkout that is not installed
        program = [sys.executable, "-m", "lift_flax.cli"]
    return shlex.join([*program, *words])


def say(line: str) -> None:
    """Prints what a command is doing to stderr, so that stdout holds nothing but its results."""
    print(line, file=sys.stderr, flush=True)


def percent(share: float | None) -> str:
    """A share of 1 for people to read; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def console(**options: Any) -> "Console":
    """A console that shows names as they are: it reads no markup and no codes of emoji in them."""
    from rich.console import Console

    return Console(**{"highlight": False, "markup": False, "emoji": False, **options})


def table(*head: str, **options: Any) -> "Table":
    """A table for `console`.  It cuts no name: what is too long goes on in the next line of its cell."""
    from rich.table import Column, Table

    return Table(*(Column(title, overflow="fold") for title in head), **options)
