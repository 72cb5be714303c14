"""The metrics of a run over its steps: metrics.jsonl and TensorBoard's events."""

import json
import math
import time
from pathlib import Path

from lift_flax.errors import UserError
from lift_flax.files import write_text

_IN_EVERY_LINE = ("phase", "split", "step", "epoch")
CLOCK = "clock"  # the part of a line that differs between equal runs


class MetricsWriter:
    """Appends to metrics.jsonl and to TensorBoard events in one workdir.

    Each line is {"phase", "split", "step", "epoch", then the metrics, perhaps "clock"}.  The split is "train" (one
    step), "epoch" (means over one) or "validation".

    Args:
      writes: False on all processes but the first.
    """

    def __init__(self, workdir: Path, writes: bool = True):
        self._workdir, self._writes = workdir, writes
        self._lines = self._events = None

    def begin(self, phase: str, first_step: int) -> None:
        """Starts or continues a phase: lines of its steps after `first_step` are removed."""
        self.close()
        if not self._writes:
            return
        path = self._workdir / "metrics.jsonl"
        if path.exists():
            kept = [line for line in _whole_lines(path) if line["phase"] != phase or line["step"] <= first_step]
            write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._lines = path.open("a")
        folder = self._workdir / "tensorboard" / phase
        folder.mkdir(parents=True, exist_ok=True)
        self._events = _EventsFile(folder)
        self._events.session_start(first_step + 1)

    def write(
        self, phase: str, split: str, step: int, epoch: float, values: dict[str, float], clock: dict | None = None
    ) -> None:
        """Writes one line; NaN and infinity are written as null.

        Args:
          values: metrics, the same in every run of a config.
          clock: speed, waiting, memory (`lift_flax.train.profiling.Meter`), which differ between equal runs.
        """
        if not self._writes:
            return
        assert self._lines is not None and self._events is not None  # `begin` has opened them
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        line = {"phase": phase, "split": split, "step": step, "epoch": round(epoch, 4), **finite}
        self._lines.write(json.dumps({**line, CLOCK: clock} if clock else line) + "\n")
        self._lines.flush()
        for name, value in {**values, **(clock or {})}.items():
            self._events.scalar(step, f"{split}/{name}", value)
        self._events.flush()

    def close(self) -> None:
        """Closes both files; `begin` opens them again."""
        for file in (self._lines, self._events):
            if file is not None:
                file.close()
        self._lines = self._events = None


class _EventsFile:
    """A new TensorBoard event file in `folder`, written without a thread: a SummaryWriter's dies on a full disk."""

    def __init__(self, folder: Path):
        # imported late because it loads PyTorch if that is installed
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        self._events, self._summary = event_pb2, scalar
        self._writer = EventsWriter(str(folder / "events"))
        self.flush, self.close = self._writer.flush, self._writer.close

    def session_start(self, step: int) -> None:
        """Makes TensorBoard drop the points of earlier files from `step` on."""
        self._write(step, session_log=self._events.SessionLog(status=self._events.SessionLog.START))

    def scalar(self, step: int, tag: str, value: float) -> None:
        """Writes a point of the curve `tag`."""
        self._write(step, summary=self._summary(tag, value))

    def _write(self, step: int, **what) -> None:
        self._writer.write_event(self._events.Event(wall_time=time.time(), step=step, **what))


def read_metrics(workdir: Path) -> list[dict]:
    """The lines of metrics.jsonl without their "clock".  Raises UserError where the file is missing or damaged."""
    lines = _whole_lines(workdir / "metrics.jsonl")
    return [{name: value for name, value in line.items() if name != CLOCK} for line in lines]


def _whole_lines(path: Path) -> list[dict]:
    """The lines of a file, without a last one that was cut off.  Raises UserError where it is missing or damaged."""
    try:
        text = path.read_text()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged: give the training command of this run again") from error
    lines = []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            lines.append(json.loads(line))
            if missing := [name for name in _IN_EVERY_LINE if name not in lines[-1].keys()]:
                raise ValueError(f"no {missing[0]}")
        except (ValueError, AttributeError) as error:
            raise UserError(f"{path} is damaged in line {number} ({error}): remove that line") from error
    return lines
