"""The training loop of one phase."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from lift_flax import compiling
from lift_flax.augment.streams import make_train_streams
from lift_flax.config import Config
from lift_flax.data.batches import batch_ids, train_batches
from lift_flax.data.clip_reader import Batch
from lift_flax.data.records import Records
from lift_flax.distributed.mesh import local_rows, put_batch, put_everywhere, replicated, state_sharding
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.errors import UserError
from lift_flax.evaluate import scoring
from lift_flax.evaluate.metrics import score
from lift_flax.models.functional import Tree, count_parameters
from lift_flax.runs.checkpoints import Checkpoints
from lift_flax.runs.metrics_log import MetricsWriter
from lift_flax.train import optim
from lift_flax.train.phases import Phase
from lift_flax.train.profiling import Meter, StepTrace
from lift_flax.train.progress import Progress

_AUGMENT = 0  # purpose of a random key, beside the phase's number
_fold_in = jax.jit(jax.random.fold_in)


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What both phases share.

    Attributes:
      train_ids, val_ids: clips to learn from, and to choose the best checkpoint by.
    """

    config: Config
    workdir: Path
    records: Records
    mesh: Mesh
    writer: MetricsWriter
    stop: StopSignal
    train_ids: list[str]
    val_ids: list[str]

    def data_seed(self, phase: Phase) -> int:
        """Seed of the order of the training clips."""
        return self.config.seed * 2 + phase.number


def train_phase(run: RunContext, phase: Phase) -> Tree:
    """Runs a phase to its end and returns its best state (best on validation, else the last).

    Raises:
      Stopped: the run was asked to end; what was reached is saved.
      UserError: the loss is no number any more, or a checkpoint cannot be written or read.
    """
    ends = epoch_ends(len(run.train_ids), run.config.train.batch_size, phase.epochs)
    total_steps = max(ends)
    optimizer = optim.make_optimizer(run.config, optim.make_schedule(run.config, total_steps))
    shapes = phase.state_shapes(optimizer)
    layout = state_sharding(run.mesh, shapes)
    shapes = jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, layout)
    with contextlib.closing(Checkpoints(run.workdir / phase.name)) as checkpoints:
        restored = checkpoints.restore_newest(shapes)
        state, examples = restored or (phase.initial_state(optimizer, layout), 0)
        first_step = examples // run.config.train.batch_size
        run.writer.begin(phase.name, first_step)
        _announce(phase, state, first_step, total_steps)
        if first_step < total_steps:
            step_fn = phase.make_step(phase.network, run.config, optimizer)
            places = (layout, replicated(run.mesh))
            step_fn = compiling.compiled_at_first_call(step_fn, donate_argnums=0, out_shardings=places)
            _Loop(run, phase, step_fn, checkpoints, ends).go(state, first_step)
        best, step = checkpoints.restore_best(shapes)
    print(f"{phase.name}: the checkpoint to go on with is step {step} of {total_steps}", flush=True)
    return best


@dataclasses.dataclass(frozen=True)
class _Loop:
    """The steps of one phase.

    Attributes:
      step_fn: (state, streams) -> (state, metrics), compiled; the old state is given up.
      ends: {step: the epoch that ends with it}.
    """

    run: RunContext
    phase: Phase
    step_fn: Callable
    checkpoints: Checkpoints
    ends: dict[int, int]

    def go(self, state: Tree, first_step: int) -> None:
        """Always in this order: next batch, step, the metrics of the step before; after an epoch validate and save.

        A step's metrics are read while the next one is computed, but at once where the run waits for it anyhow: at the
        end of an epoch, and where it is asked to stop.
        """
        config, total = self.run.config, max(self.ends)
        score_clips = scoring.ScoreClips(self.phase.outputs, config, self.run.records, self.run.mesh)
        progress = Progress(self.phase.name, first_step, total, config.train.batch_size, config.log.progress)
        trace = StepTrace(self.run.workdir / "profile" / self.phase.name, config.train.profile_steps)
        meter, unread, key = Meter(config.train.batch_size), None, self._key()
        with contextlib.closing(self._batches(first_step)) as batches, progress, trace:
            for step in range(first_step + 1, total + 1):
                with trace.step(step):
                    with meter.waiting():
                        batch = put_batch(next(batches), self.run.mesh)
                    state, values = self._compute(state, batch, key, step)
                trace.end_after(step, values)
                if unread:
                    self._read(*unread, meter, progress)
                unread = (step, values)
                epoch, stopping = self.ends.get(step), self.run.stop.at_this_step()
                if epoch or stopping:
                    values, unread = self._read(step, values, meter, progress), None
                progress.advance()
                validation = self._validate(score_clips, state, step) if epoch else None
                if epoch:
                    progress.epoch(epoch, self.phase.epochs, values, validation)
                due = step == total or (epoch and epoch % config.train.checkpoint_epochs == 0)
                if stopping or due:
                    examples = step * config.train.batch_size
                    best = validation if due else None  # a step that is saved by chance is no candidate
                    self.checkpoints.save(step, state, examples=examples, validation=best)
                if epoch or stopping:
                    meter.restart()
                if stopping:
                    self.checkpoints.wait()
                    raise Stopped(f"stopped by SIGTERM after step {step} of the {self.phase.name}, which is saved")

    def _batches(self, first_step: int) -> Iterator[Batch]:
        run, rows = self.run, local_rows(self.run.mesh, self.run.config.train.batch_size)
        seed = run.data_seed(self.phase)
        return train_batches(run.records, run.config, run.train_ids, seed=seed, first_step=first_step, rows=rows)

    def _key(self) -> Key[Array, ""]:
        """Of the augmentation of this phase; a copy on every device."""
        key = jax.random.key(self.run.config.seed)
        for number in (self.phase.number, _AUGMENT):
            key = jax.random.fold_in(key, number)
        data = put_everywhere(np.asarray(jax.random.key_data(key)), replicated(self.run.mesh))
        return jax.random.wrap_key_data(data)

    def _compute(self, state: Tree, batch: dict, key: Key[Array, ""], step: int) -> tuple[Tree, dict[str, Array]]:
        """The streams and the step of a batch: only the step's number goes to the devices, and nothing comes back."""
        number = put_everywhere(np.array(step, np.uint32), replicated(self.run.mesh))
        with jax.transfer_guard("disallow"):
            streams = make_train_streams(batch, _fold_in(key, number), self.run.config, len(self.run.records.classes))
            return self.step_fn(state, streams)

    def _read(self, step: int, values: dict[str, Array], meter: Meter, progress: Progress) -> dict[str, float]:
        """Waits for a step's metrics, checks them, and logs those that are to be logged."""
        values = self._check_finite(step, values)
        meter.step_done()
        if step in self.ends or step % self.run.config.log.every_steps == 0:
            self._log("train", step, values, meter.read())
            progress.show(values)
        return values

    def _check_finite(self, step: int, values: dict) -> dict[str, float]:
        """A step's metrics on the host.  Raises UserError where loss or gradients are no numbers any more."""
        values = {name: float(value) for name, value in jax.device_get(values).items()}
        if math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"]):
            return values
        run, phase = self.run, self.phase.name
        size = run.config.train.batch_size
        ids = batch_ids(run.train_ids, seed=run.data_seed(self.phase), step=step, batch_size=size)
        self.checkpoints.wait()
        last = self.checkpoints.newest_step()
        kept = f"{run.workdir / phase / str(last)} is the last good checkpoint" if last else "no checkpoint was saved"
        raise UserError(
            f"the {phase}'s loss is {values['loss']} and its gradient's norm {values['grad_norm']} at step {step}, on "
            f"the clips {', '.join(ids)}; {kept}: lower config.train.learning_rate and use another --workdir"
        )

    def _validate(self, score_clips: scoring.ScoreClips, state: Tree, step: int) -> dict[str, float] | None:
        ids = self.run.val_ids
        if not ids:
            return None
        scored = score_clips(state["params"], state["batch_stats"], ids)
        top1 = score(scored["logits"], scored["labels"], self.run.records.classes)["top1"]
        values = {"loss": float(scored["loss"]), "top1": top1}
        self._log("validation", step, values)
        return values

    def _log(self, split: str, step: int, values: dict[str, float], clock: dict[str, float] | None = None) -> None:
        epoch = step * self.run.config.train.batch_size / len(self.run.train_ids)
        if split == "validation":
            epoch = float(self.ends[step])
        self.run.writer.write(self.phase.name, split, step, epoch, values, clock)


def epoch_ends(examples: int, batch_size: int, epochs: int) -> dict[int, int]:
    """{step: number of the epoch that it ends}.  Batches run on across epochs, so an epoch may end within one.

    Of epochs that end within the same step, the last counts.
    """
    return {-(-epoch * examples // batch_size): epoch for epoch in range(1, epochs + 1)}


def _start(phase: Phase, first_step: int) -> str:
    if first_step:
        return f"resuming after step {first_step}"
    return "partly from given weights" if phase.pretrained["params"] else "from random weights"


def _announce(phase: Phase, state: Tree, first_step: int, total_steps: int) -> None:
    trainable, _ = optim.split_params(state["params"], phase.trains)
    print(
        f"{phase.name}: {count_parameters(state['params']):,} parameters, {count_parameters(trainable):,} trained; "
        f"{total_steps} steps, {_start(phase, first_step)}",
        flush=True,
    )
