"""How far a phase is: a bar with speed and time left on a terminal, one line per epoch elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Shows the steps of one phase.

    Args:
      title: shown in front.
      first_step, total_steps: of the phase.
      batch_size: examples of one step, for the speed.
      bar: False prints lines also on a terminal.
    """

    def __init__(self, title: str, first_step: int, total_steps: int, batch_size: int, bar: bool):
        self._title, self._batch_size = title, batch_size
        self._steps, self._since, self._epoch_ended = 0, time.monotonic(), time.monotonic()
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(),
            console=Console(file=sys.stdout),
            disable=not (bar and sys.stdout.isatty()),
        )
        self._task = self._bar.add_task(title, total=total_steps, completed=first_step, speed="compiling", values="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One step is done."""
        self._steps += 1
        if self._steps == 1:  # the first one was compilation
            self._since = time.monotonic()
            return self._bar.update(self._task, advance=1)
        speed = (self._steps - 1) * self._batch_size / (time.monotonic() - self._since)
        self._bar.update(self._task, advance=1, speed=f"{speed:.1f} clips/s")

    def show(self, values: dict[str, float]) -> None:
        """The newest training metrics."""
        self._bar.update(self._task, values=_text(values))

    def epoch(self, number: int, total: int, values: dict[str, float], validation: dict[str, float] | None) -> None:
        """One line for an epoch that ended."""
        seconds, self._epoch_ended = time.monotonic() - self._epoch_ended, time.monotonic()
        after = f"   validation {_text(validation)}" if validation else ""
        line = f"{self._title} epoch {number}/{total}  last batch: {_text(values)}{after}   {seconds:.1f} s"
        self._bar.console.print(line, highlight=False, soft_wrap=True)


def _text(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in values.items())
