"""A whole run: the teacher phase, the student phase, and the one look at the test split at the end."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
import shutil
import time
import zipfile
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from lift_flax import config as config_lib
from lift_flax import evaluate, optim, report, sharding
from lift_flax.checkpoints import Checkpoints
from lift_flax.config import Config
from lift_flax.data.augment import make_train_views
from lift_flax.data.records import Records, check_fits, open_records, train_batches
from lift_flax.errors import UserError
from lift_flax.files import only_writer, write_text
from lift_flax.metrics import MetricsWriter, score
from lift_flax.phases import Phase, check_start, student_phase, teacher_phase
from lift_flax.progress import Progress
from lift_flax.state import Tree, count_parameters
from lift_flax.weights.init_from import weight_sources, with_facts

_AUGMENT = 0  # purpose of a random key, beside the phase's number


def run(config: Config, workdir: Path) -> dict:
    """Trains, evaluates and reports into `workdir`; continues where an earlier run of the same config ended.

    Returns:
      What results.json holds.
    Raises:
      UserError: the data or the workdir do not fit the config.
    """
    records = open_records(config.data.dir)
    check_fits(records, config)
    config = with_facts(config)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, dir=str(records.dir)))
    check_start(config, len(records.classes))
    train_ids, val_ids = records.train_and_validation(config.data.fold, config.data.val_share, config.seed)
    test_ids = records.split(config.data.fold, "test")
    mesh = sharding.make_mesh(config)
    _refuse_foreign(workdir)
    with only_writer(workdir, "--workdir"):
        _claim(workdir, config, records, train_ids, val_ids, test_ids)
        if results := _finished(workdir):
            print(f"{workdir} holds a finished run: only its report is written again", flush=True)
        else:
            results = _train_and_test(config, workdir, records, mesh, train_ids, val_ids, test_ids)
        report.write(workdir)
    return results


def _train_and_test(config: Config, workdir: Path, records: Records, mesh: Mesh, train_ids, val_ids, test_ids) -> dict:
    """Both phases, then the one look at the test split: results.json and test_predictions.npz."""
    started = time.monotonic()
    with contextlib.closing(MetricsWriter(workdir)) as writer, jax.set_mesh(mesh):
        job = _Job(config, workdir, records, mesh, writer, train_ids, val_ids)
        num_classes = len(records.classes)
        teacher = job.train(teacher_phase(config, num_classes)) if config.train.distill else None
        phase = student_phase(config, num_classes, teacher)
        student = job.train(phase)
        print(f"scoring {len(test_ids)} test clips ...", flush=True)
        predict = evaluate.make_predictor(phase, config, records, mesh)
        predictions = predict(student["params"], student["batch_stats"], test_ids)
    results = evaluate.test_results(config, records, test_ids, predictions)
    results["seconds"] = round(time.monotonic() - started, 1)
    np.savez_compressed(workdir / "test_predictions.npz", ids=np.array(test_ids), **predictions)
    write_text(workdir / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def _finished(workdir: Path) -> dict | None:
    """What results.json holds; None where the run has not ended or a file of its end is damaged."""
    try:
        with np.load(workdir / "test_predictions.npz") as predictions:
            predictions["ids"]
        return json.loads((workdir / "results.json").read_text())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _refuse_foreign(workdir: Path) -> None:
    """Refuses a path that is neither a run's workdir nor free to become one."""
    if (workdir / "config.json").exists():
        config_lib.load(workdir / "config.json")  # raises where it is not a run's
    elif workdir.exists() and (not workdir.is_dir() or set(os.listdir(workdir)) - {"lock"}):
        raise UserError(f"{workdir} is not empty and not a workdir of a run: choose another --workdir")


def _claim(workdir: Path, config: Config, records: Records, *splits: list[str]) -> None:
    """Makes `workdir` this run's, or checks that it already is: same config, classes and clips in every split.

    A run that never came to a checkpoint has nothing to continue; its workdir may be taken by any other.
    """
    path, facts_path = workdir / "config.json", workdir / "run.json"
    digest = hashlib.sha256(json.dumps([[[i, records.rows[i][1]] for i in ids] for ids in splits]).encode()).hexdigest()
    weights = weight_sources(config)
    earlier = config_lib.load(path) if path.exists() else None
    if earlier and (any(workdir.glob("*/*/_CHECKPOINT_METADATA")) or (workdir / "results.json").exists()):
        config_lib.check_same_run(earlier, config, workdir)
        try:
            facts = json.loads(facts_path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{facts_path} is missing or damaged: choose another --workdir") from error
        if facts["data_digest"] != digest:
            raise UserError(
                f"{workdir} was trained on other clips than {records.dir} holds now: choose another --workdir"
            )
        if facts.get("weights", {}) != weights:
            raise UserError(f"{workdir} started from other weights than init_from holds now: choose another --workdir")
    elif earlier:
        print(f"{workdir} holds a run without any checkpoint: starting it anew", flush=True)
        (workdir / "metrics.jsonl").unlink(missing_ok=True)
        shutil.rmtree(workdir / "tensorboard", ignore_errors=True)
    config_lib.save(config, path)
    facts = {
        "classes": list(records.classes),
        "data_digest": digest,
        "weights": weights,
        "validation_ids": splits[1],
        "versions": {name: metadata.version(name) for name in ("lift_flax", "jax", "flax", "optax", "grain", "av")},
        "python": platform.python_version(),
        "devices": [str(d.device_kind) for d in jax.devices()],
    }
    write_text(facts_path, json.dumps(facts, indent=2) + "\n")


@dataclasses.dataclass(frozen=True)
class _Job:
    """What both phases share."""

    config: Config
    workdir: Path
    records: Records
    mesh: Mesh
    writer: MetricsWriter
    train_ids: list[str]
    val_ids: list[str]

    def train(self, phase: Phase) -> Tree:
        """Runs a phase to its end and returns its best state (best on validation, else the last)."""
        ends = epoch_ends(len(self.train_ids), self.config.train.batch_size, phase.epochs)
        total_steps = max(ends)
        optimizer = optim.make_optimizer(self.config, optim.make_schedule(self.config, total_steps))
        initial = phase.initial_state(optimizer)
        layout = sharding.state_sharding(self.mesh, initial)
        initial = jax.device_put(initial, layout)
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), initial)
        checkpoints = Checkpoints(self.workdir / phase.name)
        try:
            state, examples = checkpoints.restore_newest(shapes) or (initial, 0)
            first_step = examples // self.config.train.batch_size
            _announce(phase, state, first_step, total_steps)
            if first_step < total_steps:
                self._loop(phase, optimizer, checkpoints, state, first_step, ends, layout)
            best, step = checkpoints.restore_best(shapes)
        finally:
            checkpoints.close()
        print(f"{phase.name}: the checkpoint to go on with is step {step} of {total_steps}", flush=True)
        return best

    def _loop(self, phase: Phase, optimizer, checkpoints: Checkpoints, state: Tree, first_step: int, ends, layout):
        """The training loop, always in this order: next batch, step, log; at the end of an epoch validate and save."""
        config, num_classes, total_steps = self.config, len(self.records.classes), max(ends)
        batch_size = config.train.batch_size
        step_fn = phase.make_step(phase.network, config, optimizer)
        step_fn = jax.jit(step_fn, donate_argnums=0, out_shardings=(layout, sharding.replicated(self.mesh)))
        predict = evaluate.make_predictor(phase, config, self.records, self.mesh)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), phase.number), _AUGMENT)
        batches = train_batches(
            self.records,
            config,
            self.train_ids,
            seed=config.seed * 2 + phase.number,
            first_step=first_step,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
        progress = Progress(phase.name, first_step, total_steps, batch_size, config.log.progress)
        with contextlib.closing(batches), progress:
            for step in range(first_step + 1, total_steps + 1):
                batch = sharding.put_batch(next(batches), self.mesh)
                views = make_train_views(batch, jax.random.fold_in(key, step), config, num_classes)
                state, values = step_fn(state, views)
                epoch_ended = ends.get(step)
                if epoch_ended or step % config.log.every_steps == 0:
                    values = _finite(values, phase.name, step)
                    self.writer.write(phase.name, "train", step, step * batch_size / len(self.train_ids), values)
                    progress.show(values)
                progress.advance()
                if epoch_ended:
                    validation = self._validate(phase, predict, state, step, epoch_ended)
                    progress.epoch(epoch_ended, phase.epochs, values, validation)
                    if epoch_ended % config.train.checkpoint_epochs == 0 or step == total_steps:
                        checkpoints.save(step, state, examples=step * batch_size, validation=validation)

    def _validate(self, phase: Phase, predict, state: Tree, step: int, epoch: int) -> dict[str, float] | None:
        if not self.val_ids:
            return None
        predictions = predict(state["params"], state["batch_stats"], self.val_ids)
        top1 = score(predictions["logits"], predictions["labels"], self.records.classes)["top1"]
        values = {"loss": float(predictions["loss"]), "top1": top1}
        self.writer.write(phase.name, "validation", step, float(epoch), values)
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


def _finite(values: dict[str, jax.Array], phase: str, step: int) -> dict[str, float]:
    """Metrics on the host.  Raises UserError where the loss is no number any more."""
    values = {name: float(v) for name, v in values.items()}
    if not math.isfinite(values["loss"]):
        raise UserError(
            f"the {phase}'s loss is {values['loss']} at step {step}: lower config.train.learning_rate and run the same "
            "command with another --workdir; earlier checkpoints are kept"
        )
    return values
