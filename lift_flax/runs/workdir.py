"""The folder of one run: its facts, which run it belongs to, and whether that run can be continued."""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.files.json_object import read_object
from lift_flax.runs import config_file

_PREPARED = {"codec": str, "short_side": int, "max_frames": (int, None), "flow": str}
IN_EVERY_RUN = {"classes": [str], "prepared": _PREPARED, "train_digest": str}
_IN_RUN = {"data_digest": str, "weights": {str: str}, "validation_ids": [str], "versions": {str: str}, "python": str}
_IN_RUN |= {"devices": [str]}
_SCORES = {"top1": (float, int), "per_class": {str: (float, int, None)}, "confusion": [[int]]}
IN_RESULTS = {"dataset": str, "fold": int, "split": str, "views": str, "num_examples": int, "classes": [str]}
IN_RESULTS |= {"teacher": (_SCORES, None), "student": (_SCORES, None), "seconds": (float, int)}
_AGAIN = "give the training command of this run again, or choose another workdir"
_SHARED_SECONDS = 60  # a network file system may take this long to show what another machine has written


def finished(workdir: Path) -> dict | None:
    """What results.json holds; None where the run has not ended or a file of its end is damaged."""
    try:
        read_predictions(workdir)
        return read_results(workdir)
    except UserError:
        return None


def read_results(workdir: Path) -> dict[str, Any]:
    """Reads results.json (`train.results` has its fields).  Raises UserError where it is missing or damaged."""
    return read_object(workdir / "results.json", IN_RESULTS, _AGAIN)


def read_predictions(workdir: Path) -> dict[str, np.ndarray]:
    """Reads test_predictions.npz: "ids", "labels", "logits", perhaps "teacher_logits", ... (`SplitLogits`).

    Raises:
      UserError: the file is missing or damaged.
    """
    path = workdir / "test_predictions.npz"
    try:
        with path.open("rb") as file, np.load(file) as archive:  # np.load leaves a damaged file open that it opens
            arrays = dict(archive)
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise UserError(f"{path} is missing or damaged: {_AGAIN}") from error
    if missing := [name for name in ("ids", "labels", "logits") if name not in arrays]:
        raise UserError(f"{path} is missing or damaged (no {missing[0]}): {_AGAIN}")
    return arrays


def facts(workdir: Path, *more: str) -> dict[str, Any]:
    """What run.json holds: classes, digests of the clips, how they were prepared, weights, versions, devices.

    Args:
      more: parts that it must have besides those without which no run can be opened.
    Raises:
      UserError: the file is missing, damaged or lacks a part.
    """
    return read_object(workdir / "run.json", IN_EVERY_RUN | {name: _IN_RUN[name] for name in more}, _AGAIN)


def add_facts(workdir: Path, **more: Any) -> None:
    """Adds parts to run.json, or replaces them."""
    write_text(workdir / "run.json", json.dumps({**facts(workdir), **more}, indent=2) + "\n")


def phase_folder(workdir: Path, phase: str) -> Path:
    """The checkpoints of a phase, "teacher" or "student".  Raises UserError where none was trained."""
    folder = workdir / phase
    if not folder.is_dir() and (workdir / "pretrain").is_dir():
        raise UserError(f"{workdir} holds a pretraining: train from it with --config.train.init_from={workdir}")
    if not folder.is_dir():
        raise UserError(f"{workdir} holds no trained {phase} yet: train first with the command of this run")
    return folder


def refuse_foreign(workdir: Path) -> None:
    """Refuses a path that is neither a run's workdir nor free to become one."""
    if (workdir / "config.json").exists():
        config_file.load(workdir / "config.json")  # raises where it is not a run's
    elif workdir.exists() and (not workdir.is_dir() or set(os.listdir(workdir)) - {"lock"}):
        raise UserError(f"{workdir} is not empty and not a workdir of a run: choose another workdir")


def refuse_pretraining(workdir: Path) -> None:
    """Refuses, as the workdir of a training, that of a `lift-flax pretrain`."""
    if (workdir / "pretrain").is_dir():
        raise UserError(
            f"{workdir} is the workdir of a pretraining: choose another one, and start from this one with "
            f"--config.train.init_from={workdir}"
        )


def claim(
    workdir: Path, number: int, config: Config, records: Records, *splits: list[str], weights: dict[str, str]
) -> None:
    """Makes `workdir` this run's, or checks that it already is: same config, classes and clips in every split.

    A run without any checkpoint has nothing to continue: any other may take its workdir.

    Args:
      number: of this start of the run; the other processes recognise the folder by it.
      splits: ids of the training, validation and test clips.
      weights: {part: SHA-256 of the weights that it starts from}.
    """
    path, kept = workdir / "config.json", {}
    if _has_progress(workdir):
        check_continues(workdir, config, records, *splits, weights=weights)
        kept = {name: value for name, value in facts(workdir).items() if name == "calibration"}
    elif path.exists():
        config_file.load(path)  # raises where it is not a run's
        print(f"{workdir} holds a run without any checkpoint: starting it anew", flush=True)
        (workdir / "metrics.jsonl").unlink(missing_ok=True)
        shutil.rmtree(workdir / "tensorboard", ignore_errors=True)
    config_file.save(config, path)
    new_facts = {
        "start": number,
        "classes": list(records.classes),
        "data_digest": digest(records, *splits),
        "train_digest": digest(records, splits[0]),
        "prepared": records.prepared,
        "clip_seconds": records.median_seconds(splits[0]),
        "weights": weights,
        "validation_ids": splits[1],
        "versions": {name: metadata.version(name) for name in ("lift_flax", "jax", "flax", "optax", "grain", "av")},
        "python": platform.python_version(),
        "processes": jax.process_count(),
        "devices": [str(d.device_kind) for d in jax.devices()],
        **kept,
    }
    write_text(workdir / "run.json", json.dumps(new_facts, indent=2) + "\n")


def check_continues(
    workdir: Path, config: Config, records: Records, *splits: list[str], weights: dict[str, str]
) -> None:
    """Checks that this run would continue the one in `workdir`, if that has a checkpoint; arguments as of `claim`.

    Raises:
      UserError: its config, clips, their preparation or its weights differ.
    """
    if not _has_progress(workdir):
        return
    config_file.check_same_run(config_file.load(workdir / "config.json"), config, workdir)
    stated = facts(workdir, "data_digest", "weights")
    if not is_of(stated["data_digest"], records, *splits):
        raise UserError(f"{workdir} was trained on other clips than {records.dir} holds now: choose another workdir")
    if stated["prepared"] != records.prepared:
        raise UserError(
            f"{workdir} was trained on records prepared otherwise ({stated['prepared']}) than {records.dir} is now "
            f"({records.prepared}): choose another workdir"
        )
    if stated["weights"] != weights:
        raise UserError(f"{workdir} started from other weights than init_from holds now: choose another workdir")


def _has_progress(workdir: Path) -> bool:
    """Whether it holds a run with a checkpoint, or one that has ended."""
    if not (workdir / "config.json").exists():
        return False
    return any(workdir.glob("*/*/_CHECKPOINT_METADATA")) or (workdir / "results.json").exists()


def check_shared(
    workdir: Path, number: int, config: Config, records: Records, *splits: list[str], weights: dict[str, str]
) -> None:
    """Checks, on any process but the first, that it sees the folder of `claim` and makes the same run.

    Raises:
      UserError: its folder, config, clips or weights differ from the first process's.
    """
    deadline = time.monotonic() + _SHARED_SECONDS
    while _start_of(workdir) != number:
        if time.monotonic() > deadline:
            raise UserError(
                f"{workdir} is not the same folder on every process: choose a workdir on a file system that all share"
            )
        time.sleep(0.1)
        for folder in (workdir.absolute().parent, workdir):
            if folder.is_dir():
                os.listdir(folder)  # network file systems may remember that a file was missing until they are asked so
    first = config_file.load(workdir / "config.json")
    config_file.check_same_run(first, config, workdir)
    ours, theirs = ((c.mesh, c.train.remat, c.log.light_curve, c.data.features) for c in (config, first))
    if ours != theirs:
        raise UserError(
            "config.mesh, config.data.features, config.train.remat and config.log.light_curve must be the same on "
            "every process"
        )
    stated = facts(workdir, "data_digest", "weights")
    if (stated["data_digest"], stated["weights"]) != (digest(records, *splits), weights):
        raise UserError(
            f"{records.dir} or the weights of init_from are not those of the first process: give every process the same"
        )


def _start_of(workdir: Path) -> int | None:
    """The number of the last `claim`; None where run.json is missing or not yet readable."""
    with contextlib.suppress(UserError):
        return facts(workdir).get("start")
    return None


def digest(records: Records, *splits: list[str]) -> str:
    """Which clips, with which labels and pictures, are in each split."""
    return _digest(records, splits, pictures=True)


def is_of(stated: str, records: Records, *splits: list[str]) -> bool:
    """Whether `stated`, a digest of run.json, is of these clips.

    Runs on records of earlier versions, which hold no digests of pictures, state ids and labels alone.
    """
    return stated in (digest(records, *splits), _digest(records, splits, pictures=False))


def _digest(records: Records, splits: tuple[list[str], ...], *, pictures: bool) -> str:
    def identity(id: str) -> list:
        entry = records.index[id]
        return [id, entry.label, entry.content] if pictures and entry.content else [id, entry.label]

    return hashlib.sha256(json.dumps([[identity(id) for id in ids] for ids in splits]).encode()).hexdigest()
