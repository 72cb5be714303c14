"""Progress of a phase: a bar on a terminal, and one line per epoch."""

import datetime
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

_BAR = 30  # characters, where there is room
_SHORTEST_BAR = 6  # kept for it beside all but the clock


class Progress:
    """Shows the steps of one phase: on a terminal as a bar with the time left and the means of the epoch so far.

    Args:
      title: shown in front.
      first_step, total_steps: of the phase.
      batch_size: examples of one step, for the speed.
      bar: False prints lines also on a terminal.
      console: where to; standard output if not given.
    """

    def __init__(
        self,
        title: str,
        first_step: int,
        total_steps: int,
        batch_size: int,
        bar: bool,
        console: Console | None = None,
    ):
        self._title, self._batch_size = title, batch_size
        self._steps, self._since, self._epoch_ended = 0, time.monotonic(), time.monotonic()
        console = console or Console(file=sys.stdout)
        columns = (_Facts(console), BarColumn(_BAR))
        self._bar = Bar(*columns, console=console, disable=not (bar and console.is_terminal))
        self._task = self._bar.add_task(title, total=total_steps, completed=first_step, speed="compiling", values="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def advance(self, means: dict[str, float]) -> None:
        """Counts one step and shows the means of the epoch so far."""
        self._steps += 1
        if self._steps == 1:  # the first one was compilation
            self._since = time.monotonic()
            return self._bar.update(self._task, advance=1, values=_text(means))
        speed = (self._steps - 1) * self._batch_size / (time.monotonic() - self._since)
        self._bar.update(self._task, advance=1, speed=f"{speed:.1f} clips/s", values=_text(means))

    def epoch(self, number: int, total: int, means: dict[str, float], validation: dict[str, float] | None) -> None:
        """Prints one line for an epoch that ended."""
        seconds, self._epoch_ended = time.monotonic() - self._epoch_ended, time.monotonic()
        after = f"   validation {_text(validation)}" if validation else ""
        line = f"{self._title} epoch {number}/{total}   {_text(means)}{after}   {seconds:.1f} s"
        self._bar.console.print(line, highlight=False, soft_wrap=True)


class _Facts(ProgressColumn):
    """One piece of text that fits the console: the time left always, the rest as far as there is room."""

    def __init__(self, console: Console):
        super().__init__(Column(no_wrap=True))
        self._console = console

    def render(self, task: Task) -> Text:
        left, counted = task.time_remaining, f"{task.completed:.0f}/{task.total:.0f}"
        clock = "-:--:--" if left is None else str(datetime.timedelta(seconds=int(left)))
        clocked = f"{task.description} {clock}"
        stages = [clock, clocked, f"{clocked} left", f"{clocked} left {counted}"]
        for more in (task.fields["values"], task.fields["speed"]):
            stages.append(f"{stages[-1]} {more}" if more else stages[-1])
        room = self._console.width - _SHORTEST_BAR - 1
        return Text(max((stage for stage in stages if len(stage) <= room), key=len, default=clock))


def _text(means: dict[str, float]) -> str:
    if not means:
        return ""
    others = [f"{name} {value:.3f}" for name, value in means.items() if name not in ("loss", "top1")]
    return " ".join([f"loss {means['loss']:.3f} accuracy {100 * means['top1']:.1f} %", *others])
