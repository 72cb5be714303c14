"""The training loop of one phase."""

import contextlib
import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Key

from lift_flax import compiling
from lift_flax.config import Config
from lift_flax.data.batches import Batches, train_batches
from lift_flax.distributed.mesh import local_rows, put_batch, put_everywhere, replicated, state_sharding
from lift_flax.features.frozen_vit import FrozenViT
from lift_flax.models.functional import Tree, count_parameters
from lift_flax.runs.checkpoints import Checkpoints
from lift_flax.train import hooks, optim
from lift_flax.train.epochs import EpochMeans, Patience, epoch_ends, saved_steps
from lift_flax.train.phases import Phase, RunContext
from lift_flax.train.profiling import Meter, StepTrace
from lift_flax.train.screen.progress import Progress
from lift_flax.video.sampling import view_grid

_AUGMENT = 0  # purpose of a random key, beside the phase's number
_fold_in = jax.jit(jax.random.fold_in)


def train_phase(run: RunContext, phase: Phase) -> tuple[dict[str, int], Tree]:
    """Runs a phase to its end, from the newest checkpoint where there is one.

    Returns:
      Facts of the phase, {"epochs", "steps", "step", "parameters", "trained_parameters"}, and its best state, that of
      "step": the best on validation, else the last.
    Raises:
      Stopped: the run was asked to end; the last step is saved.
      UserError: the loss is NaN or infinite, or a checkpoint cannot be written or read.
    """
    ends = epoch_ends(len(run.train_ids), run.config.train.batch_size, phase.epochs)
    total_steps = max(ends)
    schedule = optim.make_schedule(run.config, total_steps)
    optimizer = optim.make_optimizer(run.config, schedule)
    shapes = phase.state_shapes(optimizer)
    layout = state_sharding(run.mesh, shapes)
    shapes = jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, layout)
    with contextlib.closing(Checkpoints(run.workdir / phase.name)) as checkpoints:
        restored = checkpoints.restore_newest(shapes)
        state, data = restored or (phase.initial_state(optimizer, layout), {"examples": 0})
        first_step = data["examples"] // run.config.train.batch_size
        run.writer.begin(phase.name, first_step)
        facts = {"epochs": phase.epochs, "steps": total_steps, **_count(phase, state)}
        _announce(phase, run.config, facts, first_step)
        patience, last = Patience(run.config.train.patience, data.get("patience")), first_step
        if first_step < total_steps and not patience.is_over:
            step_fn = phase.make_step(phase.network, run.config, optimizer)
            places = (layout, replicated(run.mesh))
            step_fn = compiling.compiled_at_first_call(step_fn, donate_argnums=0, out_shardings=places)
            means, vit = EpochMeans(data.get("epoch"), phase.shown), run.frozen_vit(phase, state)
            loop = _Loop(run, phase, step_fn, checkpoints, ends, schedule, means, patience, vit)
            last = loop.run_steps(state, first_step)
        best, step = checkpoints.restore_best(shapes)
    print(f"{phase.name}: using the checkpoint of step {step} of {last}", flush=True)
    return {**facts, "epochs": ends[last], "steps": last, "step": step}, best


@dataclasses.dataclass(frozen=True)
class _Loop:
    """The steps of one phase.

    Attributes:
      step_fn: (state, streams) -> (state, metrics), compiled; the old state is given up.
      ends: {step: the epoch that ends with it}.
      schedule: the learning rate by step.
      means: of the epoch that the first step continues.
      patience: ends the phase early.
      vit: computes a frozen ViT by itself, where the phase has fixed views.
    """

    run: RunContext
    phase: Phase
    step_fn: Callable
    checkpoints: Checkpoints
    ends: dict[int, int]
    schedule: Callable
    means: EpochMeans
    patience: Patience
    vit: FrozenViT | None = None

    def run_steps(self, state: Tree, first_step: int) -> int:
        """Runs all steps after `first_step`: batch, step, then the hooks, always in the same order.

        Returns:
          The last step.

        Raises:
          Stopped: see `train_phase`.
          UserError: see `train_phase`.
        """
        config, total = self.run.config, max(self.ends)
        if self.vit:  # all that is kept, before a step is made that a stop could lose
            arrays = (state["params"], state["batch_stats"])
            self.vit.keep_training(self.run.train_ids, *arrays)
            self.vit.keep_tests(self.run.val_ids, view_grid(config.data.test_windows, 1), *arrays)
        progress = Progress(self.phase.name, first_step, total, config.train.batch_size, config.log.progress)
        trace = StepTrace(self.run.workdir / "profile" / self.phase.name, config.train.profile_steps)
        meter, key = Meter(config.train.batch_size), self._key()
        write_metrics = hooks.WriteMetrics(
            self.run, self.phase, self.checkpoints, self.ends, self.schedule, self.means, meter, progress
        )
        save = hooks.Save(self.run, self.checkpoints, self.means, meter, write_metrics, self.patience)
        after_step = (
            write_metrics,
            hooks.Validate(self.run, self.phase, save, self.vit),
            hooks.EndEarly(self.run, self.phase, self.patience),
            hooks.Show(self.phase, progress),
            save,
            hooks.Stop(self.phase, self.checkpoints),
        )
        saved = saved_steps(self.ends, config.train.checkpoint_epochs)
        with contextlib.closing(self._batches(first_step)) as batches, progress, trace:
            for step in range(first_step + 1, total + 1):
                with trace.step(step):
                    with meter.waiting(), save.before_reading(step - 1, state):
                        batch = put_batch(next(batches), self.run.mesh)
                    state, metrics = self._compute(state, batch, key, step)
                trace.end_after(step, metrics)
                write_metrics.put(step, metrics)
                stopping, epoch = self.run.stop.at_this_step(), self.ends.get(step)
                end = hooks.StepEnd(step, total, state, epoch, due=step in saved, stopping=stopping)
                for hook in after_step:
                    hook(end)
                if end.total == step:
                    return step
        return total

    def _batches(self, first_step: int) -> Batches:
        run, rows = self.run, local_rows(self.run.mesh, self.run.config.train.batch_size)
        seed = run.data_seed(self.phase)
        phase, order = self.phase, {"seed": seed, "first_step": first_step, "rows": rows}
        views = {"draws": phase.draws, "fixed_views": phase.fixed_views, "features": self.vit and self.vit.kept}
        return train_batches(run.records, run.config, run.train_ids, **order, **views)

    def _key(self) -> Key[Array, ""]:
        """The key of this phase's augmentation, copied to every device."""
        key = jax.random.key(self.run.config.seed)
        for number in (self.phase.number, _AUGMENT):
            key = jax.random.fold_in(key, number)
        data = put_everywhere(np.asarray(jax.random.key_data(key)), replicated(self.run.mesh))
        return jax.random.wrap_key_data(data)

    def _compute(self, state: Tree, batch: dict, key: Key[Array, ""], step: int) -> tuple[Tree, dict[str, Array]]:
        """Makes the streams of a batch and takes a step: only its number goes to the devices, nothing comes back."""
        number = put_everywhere(np.array(step, np.uint32), replicated(self.run.mesh))
        with jax.transfer_guard("disallow"):
            classes = len(self.run.records.classes)
            streams = self.phase.make_streams(batch, _fold_in(key, number), self.run.config, classes)
            if self.vit:
                streams = self.vit.add_to(streams, state["params"], state["batch_stats"])
            return self.step_fn(state, streams)


def _count(phase: Phase, state: Tree) -> dict[str, int]:
    trainable, _ = optim.split_params(state["params"], phase.trains)
    return {"parameters": count_parameters(state["params"]), "trained_parameters": count_parameters(trainable)}


def _announce(phase: Phase, config: Config, facts: dict[str, int], first_step: int) -> None:
    if first_step:
        start = f"resuming after step {first_step}"
    else:
        taught = phase.name == "student" and config.train.distill
        places = {path.split("/")[1] for path in phase.pretrained} - ({"trunk", "teacher"} if taught else set())
        given = ["its teacher's weights"] * taught + ["pretrained weights"] * bool(places)
        start = f"partly from {' and '.join(given)}" if given else "from random weights"
    start += "; the first step waits for the compiler" * (first_step < facts["steps"])
    print(
        f"{phase.name}: {facts['parameters']:,} parameters, {facts['trained_parameters']:,} trained; "
        f"{facts['steps']} steps, {start}",
        flush=True,
    )
