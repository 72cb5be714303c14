"""Answers as CSV: a row for each video, and for each event of a long one."""

import contextlib
import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lift_flax.command_line import say
from lift_flax.errors import UserError
from lift_flax.files import check_writable, refuse_existing, replacing
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.output import lines

HEAD = ("video", "start", "end", "label", "probability", "sure")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what spreadsheets take for the beginning of a formula, or skip

TakeAnswer = Callable[[VideoAnswer], None]


def check(path: Path, *, overwrite: bool) -> None:
    """Raises UserError where `path` cannot become such a file."""
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"--csv={path}: name a file in a folder that exists, or print it with --csv alone")
    refuse_existing(path, overwrite=overwrite)
    check_writable(path)


def rows(answer: VideoAnswer) -> Iterator[tuple[str, ...]]:
    """The rows of a video: its events, of one that is not long the whole of it; none of one that failed.

    Names that begin as a formula does have an apostrophe before them, so that a spreadsheet shows them.
    """
    for event in answer.events if not answer.error else ():
        numbers = (f"{event.start:.3f}", f"{event.end:.3f}")
        sure = "true" if event.sure else "false"
        yield _safe(answer.video), *numbers, _safe(event.label), f"{event.probability:.6f}", sure


@contextlib.contextmanager
def written(path: Path) -> Iterator[TakeAnswer]:
    """Yields a function that adds the rows of an answer to a file, which is there whole when the block ends.

    It is UTF-8; bytes in the name of a file that are no text are escaped.
    """
    with replacing(path) as part, part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEAD)
        yield lambda answer: table.writerows(rows(answer))


def printed() -> TakeAnswer:
    """A function that prints the rows of an answer, and to stderr why a video failed; prints the head at once."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(HEAD)

    def take(answer: VideoAnswer) -> None:
        table.writerows(rows(answer))
        sys.stdout.flush()
        if answer.error:
            say(lines.as_text(answer, 1))

    return take


def _safe(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name
