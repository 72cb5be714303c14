"""A whole run: the teacher phase, the student phase, and the look at the test split at the end."""

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from lift_flax.command_line import command
from lift_flax.config import Config
from lift_flax.data.fitting import check_relit, groups_on_both_sides
from lift_flax.data.records import Records, open_records
from lift_flax.data.windows import usual_average, usual_views
from lift_flax.distributed import processes
from lift_flax.distributed.mesh import make_mesh
from lift_flax.distributed.processes import StopSignal
from lift_flax.errors import UserError
from lift_flax.evaluate import calibration, illumination, metrics, scoring
from lift_flax.files import replacing, write_text
from lift_flax.models.functional import Tree, answering
from lift_flax.runs.calibration import Calibration, stated
from lift_flax.runs.metrics_log import MetricsWriter
from lift_flax.runs.workdir import add_facts, finished, refuse_foreign, refuse_pretraining
from lift_flax.train import results
from lift_flax.train.epochs import lengthened, thinned
from lift_flax.train.loop import train_phase
from lift_flax.train.opening import Start, opened, with_clips, with_weights
from lift_flax.train.phases import RunContext, check_start, student_phase, teacher_phase
from lift_flax.train.starts import teacher_from
from lift_flax.video.camera import Relight


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
    with opened(functools.partial(_prepare, config, workdir), workdir) as start:
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
    with opened(functools.partial(_prepare, config, workdir), workdir) as start:
        with jax.set_mesh(start.mesh):
            trained, score_clips, student = _train(start, workdir, stop or StopSignal())
            scored = score_clips(*answering(student), start.val_ids)
            _calibrate(scored, workdir)
        found = results.of_validation(start.records, start.val_ids, scored, trained)
        with processes.all_or_none():
            if processes.is_first():
                write_text(workdir / "validation.json", json.dumps(found, indent=2) + "\n")
        return found


def _long_enough(config: Config, clips: int) -> tuple[Config, list[str]]:
    """`config` with as many epochs as make its least steps, and a line for each phase where that changes them."""
    train = config.train
    lines, times = [], []
    has_teacher = train.distill and not train.teacher_from
    for phase in ("teacher", "student") if has_teacher else ("student",):
        given, least = getattr(train, f"{phase}_epochs"), getattr(train, f"{phase}_least_steps")
        epochs, line = lengthened(phase, clips, train.batch_size, given, least)
        lines += line
        times.append(epochs // given)
        train = dataclasses.replace(train, **{f"{phase}_epochs": epochs})
    every, line = thinned(train.checkpoint_epochs, times)
    return dataclasses.replace(config, train=dataclasses.replace(train, checkpoint_epochs=every)), lines + line


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
    if workdir is not None:
        refuse_pretraining(workdir)
    if not records.classes:
        raise UserError(
            f"{records.place} holds clips without labels, and training tells classes apart: `lift-flax pretrain` "
            "learns from such clips"
        )
    config, chosen, train_ids, val_ids = with_clips(config, records)
    test_ids = records.split(config.data.fold, "test")
    config, longer = _long_enough(config, len(train_ids))
    config, weights = with_weights(config, records, {"test": test_ids, "validation": val_ids}, workdir)
    notes = (*chosen, *longer, *groups_on_both_sides(records, config.data.fold))
    return Start(config, records, train_ids, val_ids, test_ids, weights, make_mesh(config), notes)


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
        calibrated = {}
        if start.val_ids:
            print(f"calibrating on {len(start.val_ids)} validation clips ...", flush=True)
            calibrated = _calibrate(score_clips(*answering(student), start.val_ids), workdir)
        print(f"scoring {len(start.test_ids)} test clips ...", flush=True)
        scored = calibration.with_temperatures(score_clips(*answering(student), start.test_ids), calibrated)
        curve = None
        if config.log.light_curve:
            score = functools.partial(score_clips, *answering(student))
            step = (trained["student"] or {})["step"]
            curve = _light_curve(start, scored, score, step)
    tested = results.of_test(config, records, start.test_ids, scored, time.monotonic() - started)
    tested |= {"calibration": stated(calibrated)} | (results.of_light(curve) if curve else {})
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


def _calibrate(scored: scoring.SplitLogits, workdir: Path) -> dict[str, Calibration]:
    """Calibrates the networks by what the validation clips scored, and states it in run.json."""
    found = calibration.calibrate(scored)
    with processes.all_or_none():
        if processes.is_first():
            add_facts(workdir, calibration=stated(found))
    return found


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
