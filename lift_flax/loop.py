"""The training loop of one phase."""

import contextlib
import dataclasses
import math
from pathlib import Path

import jax
from jax.sharding import Mesh

from lift_flax import evaluate, optim, sharding
from lift_flax.checkpoints import Checkpoints
from lift_flax.cluster import Stopped, StopSignal
from lift_flax.config import Config
from lift_flax.data.augment import make_train_views
from lift_flax.data.records import Records, batch_ids, train_batches
from lift_flax.errors import UserError
from lift_flax.metrics import MetricsWriter, score
from lift_flax.phases import Phase
from lift_flax.profiling import Meter, StepTrace
from lift_flax.progress import Progress
from lift_flax.state import Tree, count_parameters

_AUGMENT = 0  # purpose of a random key, beside the phase's number


@dataclasses.dataclass(frozen=True)
class Run:
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


def train_phase(run: Run, phase: Phase) -> Tree:
    """Runs a phase to its end and returns its best state (best on validation, else the last).

    Raises:
      Stopped: the run was asked to end; what was reached is saved.
      UserError: the loss is no number any more, or a checkpoint cannot be written or read.
    """
    ends = epoch_ends(len(run.train_ids), run.config.train.batch_size, phase.epochs)
    total_steps = max(ends)
    optimizer = optim.make_optimizer(run.config, optim.make_schedule(run.config, total_steps))
    shapes = phase.state_shapes(optimizer)
    layout = sharding.state_sharding(run.mesh, shapes)
    shapes = jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, layout)
    with contextlib.closing(Checkpoints(run.workdir / phase.name)) as checkpoints:
        restored = checkpoints.restore_newest(shapes)
        state, examples = restored or (phase.initial_state(optimizer, layout), 0)
        first_step = examples // run.config.train.batch_size
        run.writer.begin(phase.name, first_step)
        _announce(phase, state, first_step, total_steps)
        if first_step < total_steps:
            _loop(run, phase, optimizer, checkpoints, state, first_step, ends, layout)
        best, step = checkpoints.restore_best(shapes)
    print(f"{phase.name}: the checkpoint to go on with is step {step} of {total_steps}", flush=True)
    return best


def _loop(run: Run, phase: Phase, optimizer, checkpoints: Checkpoints, state: Tree, first_step: int, ends, layout):
    """Always in this order: next batch, step, check, log; at the end of an epoch validate and save; perhaps stop."""
    config, total_steps, batch_size = run.config, max(ends), run.config.train.batch_size
    step_fn = phase.make_step(phase.network, config, optimizer)
    step_fn = jax.jit(step_fn, donate_argnums=0, out_shardings=(layout, sharding.replicated(run.mesh)))
    predict = evaluate.make_predictor(phase, config, run.records, run.mesh)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), phase.number), _AUGMENT)
    seed, rows = run.data_seed(phase), sharding.local_rows(run.mesh, batch_size)
    batches = train_batches(run.records, config, run.train_ids, seed=seed, first_step=first_step, rows=rows)
    progress = Progress(phase.name, first_step, total_steps, batch_size, config.log.progress)
    trace = StepTrace(run.workdir / "profile" / phase.name, config.train.profile_steps)
    meter, unchecked = Meter(batch_size), None
    with contextlib.closing(batches), progress, trace:
        for step in range(first_step + 1, total_steps + 1):
            with trace.step(step):
                with meter.waiting():
                    batch = sharding.put_batch(next(batches), run.mesh)
                views = make_train_views(batch, jax.random.fold_in(key, step), config, len(run.records.classes))
                state, values = step_fn(state, views)
            if unchecked:  # the step before this one, while this one is computed
                _check_finite(run, phase, checkpoints, *unchecked)
            unchecked = (step, values)
            meter.step_done()
            epoch, stopping = ends.get(step), run.stop.at_this_step()
            if epoch or stopping or step % config.log.every_steps == 0:
                values = _check_finite(run, phase, checkpoints, step, values)
            if epoch or step % config.log.every_steps == 0:
                epochs = step * batch_size / len(run.train_ids)
                run.writer.write(phase.name, "train", step, epochs, values, meter.read())
                progress.show(values)
            progress.advance()
            validation = None
            if epoch:
                validation = _validate(run, phase, predict, state, step, epoch)
                progress.epoch(epoch, phase.epochs, values, validation)
            if stopping or step == total_steps or (epoch and epoch % config.train.checkpoint_epochs == 0):
                checkpoints.save(step, state, examples=step * batch_size, validation=validation)
            if stopping:
                checkpoints.wait()
                raise Stopped(f"stopped by SIGTERM after step {step} of the {phase.name}, which is saved")


def _check_finite(run: Run, phase: Phase, checkpoints: Checkpoints, step: int, values: dict) -> dict[str, float]:
    """A step's metrics on the host.  Raises UserError where loss or gradients are no numbers any more."""
    values = {name: float(value) for name, value in values.items()}
    if math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"]):
        return values
    ids = batch_ids(run.train_ids, seed=run.data_seed(phase), step=step, batch_size=run.config.train.batch_size)
    checkpoints.wait()
    last = checkpoints.newest_step()
    kept = f"{run.workdir / phase.name / str(last)} is the last good checkpoint" if last else "no checkpoint was saved"
    raise UserError(
        f"the {phase.name}'s loss is {values['loss']} and its gradient's norm {values['grad_norm']} at step {step}, on "
        f"the clips {', '.join(ids)}; {kept}: lower config.train.learning_rate and use another --workdir"
    )


def _validate(run: Run, phase: Phase, predict, state: Tree, step: int, epoch: int) -> dict[str, float] | None:
    if not run.val_ids:
        return None
    predictions = predict(state["params"], state["batch_stats"], run.val_ids)
    top1 = score(predictions["logits"], predictions["labels"], run.records.classes)["top1"]
    values = {"loss": float(predictions["loss"]), "top1": top1}
    run.writer.write(phase.name, "validation", step, float(epoch), values)
    return values


def epoch_ends(examples: int, batch_size: int, epochs: int) -> dict[int, int]:
    """{step: number of the epoch that it ends}.  Batches run on across epochs, so an epoch may end within one.

    Of epochs that end within the same step, the last counts.
    """
    return {-(-epoch * examples // batch_size): epoch for epoch in range(1, epochs + 1)}


def _announce(phase: Phase, state: Tree, first_step: int, total_steps: int) -> None:
    trainable, _ = optim.split_params(state["params"], phase.trains)
    print(
        f"{phase.name}: {count_parameters(state['params']):,} parameters, {count_parameters(trainable):,} trained; "
        f"{total_steps} steps" + (f", resuming after step {first_step}" if first_step else ""),
        flush=True,
    )
