"""What follows every training step, in this order: write metrics, validate, end early, show, save, stop."""

import collections
import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jaxtyping import Array

from lift_flax.data.batches import batch_ids
from lift_flax.distributed.processes import Stopped
from lift_flax.errors import UserError
from lift_flax.features.frozen_vit import FrozenViT
from lift_flax.models.functional import Tree, answering
from lift_flax.runs.checkpoints import Checkpoints
from lift_flax.train.epochs import EpochMeans, Patience
from lift_flax.train.phases import Phase, RunContext
from lift_flax.train.profiling import Meter
from lift_flax.train.screen.progress import Progress


@dataclasses.dataclass
class StepEnd:
    """A step that was given to the devices, as the hooks see it.

    Attributes:
      step, total: its number, from 1 on, and that of the phase's last step, which may be this one earlier than planned.
      state: after the step.
      epoch: the epoch that ends with it; None within one.
      due: whether validation and a checkpoint are due after it.
      stopping: whether the run is asked to end after it.
      training, validation: mean metrics of the epoch that ends; the hooks fill them in.
    """

    step: int
    total: int
    state: Tree
    epoch: int | None
    due: bool
    stopping: bool
    training: dict[str, float] | None = None
    validation: dict[str, float] | None = None


class WriteMetrics:
    """Writes the metrics of steps and epochs to metrics.jsonl, and shows the epoch's means on the bar.

    A step's metrics are read while the next one is computed, but at once where the run waits for it anyhow: at the end
    of an epoch, and where it is asked to stop.
    """

    def __init__(
        self,
        run: RunContext,
        phase: Phase,
        checkpoints: Checkpoints,
        ends: dict[int, int],
        schedule: Callable,
        means: EpochMeans,
        meter: Meter,
        progress: Progress,
    ):
        self._run, self._phase, self._checkpoints, self._ends = run, phase, checkpoints, ends
        self._schedule, self._means, self._meter, self._progress = schedule, means, meter, progress
        self._unread: collections.deque[tuple[int, dict[str, Array]]] = collections.deque(maxlen=1)

    def put(self, step: int, metrics: dict[str, Array]) -> None:
        """Takes the metrics of a step that is being computed, and reads those of the step before."""
        self.read_unread()
        self._unread.append((step, metrics))

    def __call__(self, end: StepEnd) -> None:
        if end.epoch or end.stopping:
            self.read_unread()
        self._progress.advance(self._means.read())
        if end.epoch:
            end.training = self._means.read()
            rate = float(self._schedule(end.step - 1))  # the rate that the step was taken with
            self._write("epoch", end.step, float(end.epoch), {**end.training, "learning_rate": rate})
            self._means.restart()

    def read_unread(self) -> None:
        """Waits for a step's metrics, checks them, and writes those that are to be logged."""
        while self._unread:
            step, metrics = self._unread.pop()
            values = {name: float(value) for name, value in jax.device_get(metrics).items()}
            self._check_finite(step, values)
            self._meter.step_done()
            self._means.add(values)
            if step in self._ends or step % self._run.config.log.every_steps == 0:
                epoch = step * self._run.config.train.batch_size / len(self._run.train_ids)
                self._write("train", step, epoch, values, self._meter.read())

    def _check_finite(self, step: int, values: dict[str, float]) -> None:
        """Raises UserError where the loss or the gradient's norm is NaN or infinite."""
        if math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"]):
            return
        run, phase = self._run, self._phase.name
        ids = batch_ids(run.records, run.config, run.train_ids, seed=run.data_seed(self._phase), step=step)
        self._checkpoints.wait()
        last = self._checkpoints.newest_step()
        kept = f"{run.workdir / phase / str(last)} is the last good checkpoint" if last else "no checkpoint was saved"
        raise UserError(
            f"the {phase}'s loss is {values['loss']} and its gradient's norm {values['grad_norm']} at step {step}, on "
            f"the clips {', '.join(ids)}; {kept}: lower config.train.learning_rate and use another workdir"
        )

    def _write(self, split: str, step: int, epoch: float, values: dict[str, float], clock: dict | None = None) -> None:
        self._run.writer.write(self._phase.name, split, step, epoch, values, clock)


class Validate:
    """Scores the validation clips, where there are any, at the end of every epoch that is saved."""

    def __init__(self, run: RunContext, phase: Phase, save: "Save", vit: FrozenViT | None):
        self._run, self._phase, self._save = run, phase, save
        self._validate = phase.make_validation(run, phase.outputs, vit)

    def __call__(self, end: StepEnd) -> None:
        run = self._run
        if not (end.epoch and run.val_ids):
            return
        if not end.due:
            return
        with self._save.before_reading(end.step, end.state):
            end.validation = self._validate(*answering(end.state))
        run.writer.write(self._phase.name, "validation", end.step, float(end.epoch), end.validation)


class EndEarly:
    """Makes a step the last one of its phase, where validation has not become better for long enough."""

    def __init__(self, run: RunContext, phase: Phase, patience: Patience):
        self._phase, self._patience, self._by = phase, patience, run.config.train.best_by

    def __call__(self, end: StepEnd) -> None:
        if end.validation is None:
            return
        self._patience.see(goodness(end.validation, self._by))
        if self._patience.is_over and end.step < end.total:
            end.total = end.step
            print(f"{self._phase.name}: ends with epoch {end.epoch}, for validation became no better", flush=True)


def goodness(validation: dict[str, float], by: str) -> float:
    """What makes one checkpoint better than another, of the field `train.best_by`."""
    return -validation["loss"] if by == "loss" else validation["top1"]


class Show:
    """Prints one line for an epoch that ends."""

    def __init__(self, phase: Phase, progress: Progress):
        self._phase, self._progress = phase, progress

    def __call__(self, end: StepEnd) -> None:
        if end.epoch and end.training is not None:
            self._progress.epoch(end.epoch, self._phase.epochs, end.training, end.validation)


class Save:
    """Saves a checkpoint every so many epochs, at the last step, and where the run is asked to stop or cannot go on."""

    def __init__(
        self,
        run: RunContext,
        checkpoints: Checkpoints,
        means: EpochMeans,
        meter: Meter,
        write_metrics: WriteMetrics,
        patience: Patience,
    ):
        self._fields, self._checkpoints, self._means, self._meter = run.config.train, checkpoints, means, meter
        self._write_metrics, self._patience = write_metrics, patience

    def __call__(self, end: StepEnd) -> None:
        due = end.due or end.step == end.total
        if end.stopping or due:
            # a step that is saved by chance is no candidate
            self._save(end.step, end.state, end.validation if due else None)
        if end.epoch or end.stopping:
            self._meter.restart()

    @contextlib.contextmanager
    def before_reading(self, step: int, state: Tree) -> Iterator[None]:
        """Saves `state`, that after `step`, where clips cannot be read.

        A run of several processes does not: the others do not know of it and would not save with this one.

        Raises:
          UserError: that of reading, with what is saved.
        """
        try:
            yield
        except UserError as error:
            if jax.process_count() > 1 or not step:
                raise
            self._write_metrics.read_unread()
            if self._checkpoints.newest_step() != step:
                self._save(step, state, None)
            self._checkpoints.wait()
            raise UserError(f"{error}; step {step} is saved, and the same command goes on from it") from error

    def _save(self, step: int, state: Tree, validation: dict[str, float] | None) -> None:
        data: dict[str, Any] = {"examples": step * self._fields.batch_size}
        if sums := self._means.sums():
            data["epoch"] = sums
        if seen := self._patience.seen():
            data["patience"] = seen
        score = goodness(validation, self._fields.best_by) if validation else None
        self._checkpoints.save(step, state, data=data, score=score)


class Stop:
    """Ends the run where it is asked to, once the step is saved."""

    def __init__(self, phase: Phase, checkpoints: Checkpoints):
        self._phase, self._checkpoints = phase, checkpoints

    def __call__(self, end: StepEnd) -> None:
        if end.stopping:
            self._checkpoints.wait()
            raise Stopped(f"stopped by SIGTERM after step {end.step} of the {self._phase.name}, which is saved")
