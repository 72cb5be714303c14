"""Progress of long work: a bar with the time left on a terminal, a line from time to time in logs."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_SECONDS = 30.0


@contextlib.contextmanager
def counting(title: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each of `total` pieces of work."""
    if console.is_terminal:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("", total=total)
            yield lambda: bar.advance(task)
        return
    started = shown = time.monotonic()
    done = 0

    def advance() -> None:
        nonlocal done, shown
        done += 1
        now = time.monotonic()
        if done == total or now - shown > _LINE_SECONDS:
            shown = now
            left = (now - started) / done * (total - done)
            console.print(f"{title} {done:,} of {total:,}, {now - started:.0f} s, {left:.0f} s left")
            console.file.flush()

    yield advance
