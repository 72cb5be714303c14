"""The folder of one run: whose it is, and whether what it holds can be continued."""

import hashlib
import json
import os
import platform
import shutil
import time
import zipfile
from importlib import metadata
from pathlib import Path

import jax
import numpy as np

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.runs import config_file

_SHARED_SECONDS = 60  # that a network file system may take to show what another machine has written


def finished(workdir: Path) -> dict | None:
    """What results.json holds; None where the run has not ended or a file of its end is damaged."""
    try:
        with np.load(workdir / "test_predictions.npz") as predictions:
            predictions["ids"]
        return json.loads((workdir / "results.json").read_text())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def refuse_foreign(workdir: Path) -> None:
    """Refuses a path that is neither a run's workdir nor free to become one."""
    if (workdir / "config.json").exists():
        config_file.load(workdir / "config.json")  # raises where it is not a run's
    elif workdir.exists() and (not workdir.is_dir() or set(os.listdir(workdir)) - {"lock"}):
        raise UserError(f"{workdir} is not empty and not a workdir of a run: choose another --workdir")


def claim(
    workdir: Path, number: int, config: Config, records: Records, *splits: list[str], weights: dict[str, str]
) -> None:
    """Makes `workdir` this run's, or checks that it already is: same config, classes and clips in every split.

    A run that never came to a checkpoint has nothing to continue; its workdir may be taken by any other.

    Args:
      number: of this start of the run, by which the other processes know that they see this folder.
      splits: ids of the training, validation and test clips.
      weights: {part: SHA-256 of the weights that it starts from}.
    """
    path, facts_path = workdir / "config.json", workdir / "run.json"
    clips = digest(records, *splits)
    earlier = config_file.load(path) if path.exists() else None
    if earlier and (any(workdir.glob("*/*/_CHECKPOINT_METADATA")) or (workdir / "results.json").exists()):
        config_file.check_same_run(earlier, config, workdir)
        try:
            facts = json.loads(facts_path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{facts_path} is missing or damaged: choose another --workdir") from error
        if facts["data_digest"] != clips:
            raise UserError(
                f"{workdir} was trained on other clips than {records.dir} holds now: choose another --workdir"
            )
        if facts.get("prepared", records.prepared) != records.prepared:
            raise UserError(
                f"{workdir} was trained on records prepared otherwise ({facts['prepared']}) than {records.dir} is now "
                f"({records.prepared}): choose another --workdir"
            )
        if facts.get("weights", {}) != weights:
            raise UserError(f"{workdir} started from other weights than init_from holds now: choose another --workdir")
    elif earlier:
        print(f"{workdir} holds a run without any checkpoint: starting it anew", flush=True)
        (workdir / "metrics.jsonl").unlink(missing_ok=True)
        shutil.rmtree(workdir / "tensorboard", ignore_errors=True)
    config_file.save(config, path)
    facts = {
        "start": number,
        "classes": list(records.classes),
        "data_digest": clips,
        "train_digest": digest(records, splits[0]),
        "prepared": records.prepared,
        "weights": weights,
        "validation_ids": splits[1],
        "versions": {name: metadata.version(name) for name in ("lift_flax", "jax", "flax", "optax", "grain", "av")},
        "python": platform.python_version(),
        "processes": jax.process_count(),
        "devices": [str(d.device_kind) for d in jax.devices()],
    }
    write_text(facts_path, json.dumps(facts, indent=2) + "\n")


def check_shared(
    workdir: Path, number: int, config: Config, records: Records, *splits: list[str], weights: dict[str, str]
) -> None:
    """After the first process's `claim` with `number`, on any other: that it sees that folder and makes the same run.

    Raises:
      UserError: the folder, the config or the clips are others than the first process's.
    """
    deadline = time.monotonic() + _SHARED_SECONDS
    while (facts := _facts(workdir)).get("start") != number:
        if time.monotonic() > deadline:
            raise UserError(
                f"{workdir} is not the same folder on every process: choose a --workdir on a file system that all share"
            )
        time.sleep(0.1)
        for folder in (workdir.absolute().parent, workdir):
            if folder.is_dir():
                os.listdir(folder)  # network file systems may remember that a file was missing until they are asked so
    first = config_file.load(workdir / "config.json")
    config_file.check_same_run(first, config, workdir)
    if (first.mesh, first.train.remat) != (config.mesh, config.train.remat):
        raise UserError("config.mesh and config.train.remat must be the same on every process")
    if (facts["data_digest"], facts["weights"]) != (digest(records, *splits), weights):
        raise UserError(
            f"{records.dir} or the weights of init_from are not those of the first process: give every process the same"
        )


def _facts(workdir: Path) -> dict:
    """What run.json holds; nothing where it is missing or being replaced."""
    try:
        return json.loads((workdir / "run.json").read_text())
    except (OSError, ValueError):
        return {}


def digest(records: Records, *splits: list[str]) -> str:
    """Which clips with which labels are in each split."""
    labelled = [[[i, records.rows[i][1]] for i in ids] for ids in splits]
    return hashlib.sha256(json.dumps(labelled).encode()).hexdigest()
