"""A whole run: the teacher phase, the student phase, and the look at the test split at the end."""

import contextlib
import dataclasses
import functools
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from lift_flax.command_line import command
from lift_flax.config import Config
from lift_flax.data.chosen_fields import choose
from lift_flax.data.fitting import check_fits, check_relit, folder_weights
from lift_flax.data.records import Records, open_records
from lift_flax.data.windows import usual_average, usual_views
from lift_flax.distributed import processes
from lift_flax.distributed.mesh import make_mesh
from lift_flax.distributed.processes import StopSignal
from lift_flax.errors import UserError
from lift_flax.evaluate import illumination, metrics, scoring
from lift_flax.files import only_writer, replacing, write_text
from lift_flax.models.functional import Tree, answering
from lift_flax.runs.metrics_log import MetricsWriter
from lift_flax.runs.workdir import check_shared, claim, facts, finished, refuse_foreign
from lift_flax.train import results
from lift_flax.train.epochs import enough_epochs
from lift_flax.train.loop import train_phase
from lift_flax.train.phases import RunContext, check_start, student_phase, teacher_phase
from lift_flax.train.starts import init_from, teacher_from
from lift_flax.video.camera import Relight
from lift_flax.weights.pretrained import pretrained_parts, with_settings


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run needs to know before its first step."""

    config: Config
    records: Records
    train_ids: list[str]
    val_ids: list[str]
    test_ids: list[str]
    weights: dict[str, str]
    mesh: Mesh
    notes: tuple[str, ...] = ()  # what was chosen for it, and why

    def identity(self) -> tuple:
        """What makes two starts one run, as `runs.workdir` compares it."""
        return self.config, self.records, self.train_ids, self.val_ids, self.test_ids


def train_and_test(config: Config, workdir: Path, stop: StopSignal | None = None) -> dict:
    """Trains and tests into `workdir`; continues where an earlier run of the same config ended.

    Every process of the run calls this; the first one writes.

    Args:
      stop: whether the run is asked to end early; None where nobody asks.
    Returns:
      What results.json holds; "training" on the first process alone.
    Raises:
      UserError: the data or the workdir do not fit the config.
      Stopped: `stop` came, and what was reached is saved.
    """
    with _opened(config, workdir) as start:
        earlier = finished(workdir)
        if processes.from_first(earlier is not None):
            assert earlier is not None  # all processes see one workdir: `check_shared`
            print(f"{workdir} holds a finished run: nothing is trained again", flush=True)
            if start.config.log.light_curve and not illumination.is_kept(workdir):
                print(f"its curve over brightness: {command('evaluate', f'--workdir={workdir}', '--illumination')}")
            return earlier
        return _train_and_test(start, workdir, stop or StopSignal())


def train_and_validate(config: Config, workdir: Path, stop: StopSignal | None = None) -> dict:
    """The same, but scores the validation clips; no test clip is read.

    Returns:
      The fields of `results.of_validation`, which workdir/validation.json holds.
    Raises:
      UserError: as `train_and_test`.
      Stopped: `stop` came, and what was reached is saved.
    """
    with _opened(config, workdir) as start:
        with jax.set_mesh(start.mesh):
            trained, score_clips, student = _train(start, workdir, stop or StopSignal())
            scored = score_clips(*answering(student), start.val_ids)
        found = results.of_validation(start.records, start.val_ids, scored, trained)
        with processes.all_or_none():
            if processes.is_first():
                write_text(workdir / "validation.json", json.dumps(found, indent=2) + "\n")
        return found


@contextlib.contextmanager
def _opened(config: Config, workdir: Path) -> Iterator[Start]:
    """Checks and claims the workdir for the block, and says what is to be trained on."""
    with processes.all_or_none():
        start = _prepare(config, workdir)
    with contextlib.ExitStack() as held:
        with processes.all_or_none():
            if processes.is_first():
                held.enter_context(only_writer(workdir, "workdir"))
        number = processes.from_first(secrets.randbelow(2**31))
        with processes.all_or_none():
            if processes.is_first():
                claim(workdir, number, *start.identity(), weights=start.weights)
        with processes.all_or_none():
            if not processes.is_first():
                check_shared(workdir, number, *start.identity(), weights=start.weights)
        _announce(start.mesh)
        counts = (len(ids) for ids in (start.train_ids, start.val_ids, start.test_ids))
        print("clips: {} to train on, {} for validation, {} to test on".format(*counts), flush=True)
        for line in start.notes:
            print(line, flush=True)
        if drawn := folder_weights(start.config, start.records):
            print(f"drawn as often as {', '.join(f'{name} {weight:g}' for name, weight in drawn.items())}", flush=True)
        yield start


def _long_enough(config: Config, clips: int, validated: bool) -> tuple[Config, list[str]]:
    """`config` with as many epochs as make its least steps, and a line for each phase where that changes them.

    Raises:
      UserError: a phase is to end by validation, and there are no validation clips.
    """
    train = config.train
    if (train.patience or train.best_by != "top1") and not validated:
        raise UserError(
            f"config.train.patience={train.patience} and best_by={train.best_by} go by validation clips, and there are "
            "none: set config.data.val_share=0.1, or leave them out"
        )
    lines, times = [], []
    has_teacher = train.distill and not train.teacher_from
    for phase in ("teacher", "student") if has_teacher else ("student",):
        given, least = getattr(train, f"{phase}_epochs"), getattr(train, f"{phase}_least_steps")
        epochs = enough_epochs(clips, train.batch_size, given, least)
        times.append(epochs // given)
        if epochs != given:
            lines.append(f"{phase}: {epochs} epochs instead of {given}, as {clips} clips need for {least} steps")
            train = dataclasses.replace(train, **{f"{phase}_epochs": epochs})
    every = train.checkpoint_epochs * min(times)
    if every != train.checkpoint_epochs:
        lines.append(f"validated and saved every {every} epochs")
    return dataclasses.replace(config, train=dataclasses.replace(train, checkpoint_epochs=every)), lines


def _announce(mesh: Mesh) -> None:
    kind = mesh.devices.flat[0].device_kind
    shape = " ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
    print(f"processes: {jax.process_count()}, devices: {mesh.size} x {kind}, mesh: {shape}", flush=True)


def _prepare(config: Config, workdir: Path) -> Start:
    """Opens the data and checks, without writing anything, that the run can be made."""
    records = open_records(config.data.dir)
    start = resolve(config, records, workdir)
    if finished(workdir) is None:
        check_start(start.config, len(records.classes))
    if start.config.log.light_curve:
        check_relit(records, start.config)
    if config.train.teacher_from and finished(workdir) is None:
        teacher_from.check(start.config, records, start.train_ids)
    refuse_foreign(workdir)
    return start


def resolve(config: Config, records: Records, workdir: Path | None = None) -> Start:
    """What the run of `config` on `records` starts with; nothing is written.

    Args:
      workdir: of the run; where it is finished, the run that it started from need not be there any more.

    Raises:
      UserError: the records, or the weights that it starts from, do not fit the config.
    """
    config, chosen = choose(config, records)
    check_fits(records, config)
    config = with_settings(config)
    data = dataclasses.replace(config.data, dir=records.place)
    config = dataclasses.replace(config, dataset=config.dataset or records.title, data=data)
    train_ids, val_ids = records.train_and_validation(config.data.fold, config.data.val_share, config.seed)
    if config.data.val_share > 0 and (given := records.given_validation(config.data.fold)):
        raise UserError(
            f"{records.dir} has {len(given)} validation clips of its own: leave out "
            f"config.data.val_share={config.data.val_share}"
        )
    if config.data.val_share > 0 and not val_ids:
        raise UserError(
            f"config.data.val_share={config.data.val_share} holds out no whole group of {records.dir}: "
            "raise it, or set it to 0 to use the last checkpoint"
        )
    test_ids = records.split(config.data.fold, "test")
    config, longer = _long_enough(config, len(train_ids), bool(val_ids))
    weights = {part: pretrained.sha256 for part, pretrained in pretrained_parts(config).items()}
    if config.train.init_from:
        if workdir is not None and finished(workdir) is not None:
            weights["run"] = facts(workdir, "weights")["weights"].get("run", "")
        else:
            init_from.check_held_out(config, records, {"test": test_ids, "validation": val_ids})
            weights["run"] = init_from.digest(config)
        config = dataclasses.replace(
            config, train=dataclasses.replace(config.train, init_from=str(Path(config.train.init_from).absolute()))
        )
    return Start(
        config,
        records,
        train_ids,
        val_ids,
        test_ids,
        weights,
        make_mesh(config),
        (*(f"auto: {line}" for line in chosen), *longer),
    )


def _train(start: Start, workdir: Path, stop: StopSignal) -> tuple[dict[str, dict | None], scoring.ScoreClips, Tree]:
    """Trains the teacher and the student: (facts of the phases, what scores clips by the student, its best state)."""
    config, records = start.config, start.records
    with contextlib.closing(MetricsWriter(workdir, writes=processes.is_first())) as writer:
        context = RunContext(config, workdir, records, start.mesh, writer, stop, start.train_ids, start.val_ids)
        trained: dict[str, dict | None] = {"teacher": None}
        teacher = None
        if config.train.teacher_from:
            teacher = teacher_from.read(config)
        elif config.train.distill:
            trained["teacher"], state = train_phase(context, teacher_phase(config, len(records.classes)))
            params, batch_stats = answering(state)
            teacher = {"params": params, "batch_stats": batch_stats}
            del state  # its moments take memory
        phase = student_phase(config, len(records.classes), teacher)
        trained["student"], student = train_phase(context, phase)
        vit = context.frozen_vit(phase, student)
        score_clips = scoring.ScoreClips(phase.outputs, config, records, start.mesh, stop, vit)
        return trained, score_clips, student


def _train_and_test(start: Start, workdir: Path, stop: StopSignal) -> dict:
    """Trains, scores the test split, and writes what the workdir keeps of that.

    That is results.json and test_predictions.npz, and with `log.light_curve` illumination.json and its picture.
    """
    started, config, records = time.monotonic(), start.config, start.records
    with jax.set_mesh(start.mesh):
        trained, score_clips, student = _train(start, workdir, stop)
        print(f"scoring {len(start.test_ids)} test clips ...", flush=True)
        scored = score_clips(*answering(student), start.test_ids)
        curve = None
        if config.log.light_curve:
            score = functools.partial(score_clips, *answering(student))
            step = (trained["student"] or {})["step"]
            curve = _light_curve(start, scored, score, step)
    tested = results.of_test(config, records, start.test_ids, scored, time.monotonic() - started)
    tested |= results.of_light(curve) if curve else {}
    with processes.all_or_none():
        if processes.is_first():
            labels = np.array([records.index[i].label for i in start.train_ids])
            tested["training"] = results.of_training(workdir, trained, metrics.chance(labels))
            arrays = {"ids": np.array(start.test_ids), **scored}  # none is called allow_pickle
            with replacing(workdir / "test_predictions.npz") as part:
                np.savez_compressed(part, **arrays)  # pyright: ignore[reportArgumentType]
            if curve:
                illumination.keep(curve, workdir)
            write_text(workdir / "results.json", json.dumps(tested, indent=2) + "\n")
            if curve:
                illumination.draw(curve, workdir)
    return tested


def _light_curve(start: Start, scored: scoring.SplitLogits, score: Callable, step: int) -> dict:
    """Scores the test clips in other light, as `lift-flax evaluate --illumination` does; it chooses nothing.

    Args:
      scored: what they scored as recorded.
      score: scores clips by their ids, in a `light`.
      step: of the student's checkpoint.
    """

    def in_light(ids: list[str], light: Relight) -> scoring.SplitLogits:
        print(f"scoring {len(ids)} test clips at exposure {light.camera.exposure:g} ...", flush=True)
        return score(ids, light=light)

    config, records = start.config, start.records
    protocol = {"records": records.place, "dataset": config.dataset, "fold": config.data.fold, "split": "test"}
    protocol |= {"views": usual_views(config), "average": usual_average(config), "step": step}
    return {**protocol, **illumination.measure(scored, records, start.test_ids, records.classes, in_light)}
