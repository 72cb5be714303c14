"""Writes a package of a run: its arrays, config, facts and scores, and a model card (lift_flax/runs/package/ reads it).

Nothing in it says where anything lies on the machine that made it.
"""

import contextlib
import dataclasses
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.export import rounding
from lift_flax.export.card import card_of
from lift_flax.export.comparing import on_cpu, random_inputs
from lift_flax.export.program import check_parent
from lift_flax.files import refuse_existing, replacing, replacing_folder, write_text
from lift_flax.models.functional import flatten
from lift_flax.predict.inference import unfolded
from lift_flax.runs.config_file import PACKED
from lift_flax.runs.package import contents
from lift_flax.runs.package.reading import FORMAT
from lift_flax.runs.trained import TrainedRun, open_trained, results_of

NO_LICENSE = "other"  # what hubs call a license that they do not know
PLACES = (  # fields that name folders of the machine
    "data.dir",
    "model.teacher.init_from",
    "model.pvit.init_from",
    "train.init_from",
    "train.teacher_from",
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # of every file in a .zip, so that the same run gives the same bytes


def check_out(out: Path, *, overwrite: bool) -> None:
    """Checks that a package can be written to `out`.

    Raises:
      UserError: the folder above is missing; or it exists and may not be replaced, or is no package.
    """
    check_parent(out)
    if out.is_dir() and not any(out.iterdir()):
        return
    refuse_existing(out, overwrite=overwrite)
    if out.is_dir() and not contents.is_package(out):
        raise UserError(f"{out} is a folder that holds other things than a package: choose another name")


def write_package(
    trained: TrainedRun,
    out: Path,
    *,
    card: str = "",
    license_id: str = NO_LICENSE,
    dtype: str = rounding.FLOAT32,
) -> dict[str, float]:
    """Writes a package to `out`, a .zip or else a folder, once it answers as the run does, bit for bit.

    Args:
      card: text in Markdown that its model card ends with.
      license_id: of its weights, as hubs name it.
      dtype: float16 rounds the arrays (lift_flax/export/rounding.py); the answers are those of the rounded run.
    Returns:
      How much rounding changes the answers to random clips (`rounding.rounded`); empty without any.
    Raises:
      UserError: a file of the run is damaged, or float16 would change the answers.
      RuntimeError: it answers differently; nothing is left behind.
    """
    results = results_of(trained)
    kept, difference = rounding.rounded(trained) if dtype == rounding.FLOAT16 else (trained, {})
    facts = {"format": FORMAT, "step": trained.step, "written_by": metadata.version("lift_flax"), "dtype": dtype}
    if difference:
        facts["largest_difference"] = difference
    kept = dataclasses.replace(kept, facts={**trained.facts, "package": facts})
    with _new(out) as (folder, part):
        _fill(folder, kept, results, card_of(kept, results, out.name, license_id, card))
        if part != folder:
            _zip(folder, part)
        _compare(kept, part)
    return difference


@contextlib.contextmanager
def _new(out: Path) -> Iterator[tuple[Path, Path]]:
    """Yields (the folder to fill, what becomes `out` when the block ends: that folder, or a .zip of it)."""
    if out.suffix != ".zip":
        with replacing_folder(out) as folder:
            yield folder, folder
        return
    with tempfile.TemporaryDirectory(prefix="lift_flax-") as folder, replacing(out) as part:
        yield Path(folder), part


def _fill(folder: Path, trained: TrainedRun, results: dict[str, Any] | None, card: str) -> None:
    dtype = trained.facts["package"]["dtype"]
    arrays = flatten({"params": trained.params, "batch_stats": trained.batch_stats})
    host = {name: rounding.stored(np.asarray(array, order="C"), dtype) for name, array in arrays.items()}
    save_file(host, folder / PACKED, metadata={"format": "flax"})  # several would stand in any order
    facts = {
        **trained.facts,
        "prepared": trained.prepared,
        "train_digest": trained.train_digest,
        "clip_seconds": trained.clip_seconds,
    }
    files: dict[str, Any] = {
        contents.CONFIG: dataclasses.asdict(without_places(trained.config)),
        contents.FACTS: {**_without_paths(facts), "classes": list(trained.classes)},
    }
    if results:
        files[contents.RESULTS] = {**_without_paths(results), "classes": results["classes"]}
    for name, value in files.items():
        write_text(folder / name, json.dumps(value, indent=2) + "\n")
    write_text(folder / contents.CARD, card)
    shutil.copymode(folder / contents.CARD, folder / PACKED)  # safetensors writes for the owner alone


def without_places(config: Config) -> Config:
    """The config without the folders of this machine."""
    for name in PLACES:
        config = _without(config, name.split("."))
    return config


def _without(group: Any, path: Sequence[str]) -> Any:
    first, *rest = path
    return dataclasses.replace(group, **{first: _without(getattr(group, first), rest) if rest else ""})


def _without_paths(value: Any) -> Any:
    """The same JSON with every whole path of a file replaced by an empty text."""
    if isinstance(value, dict):
        return {name: _without_paths(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(part) for part in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return ""
    return value


def _zip(folder: Path, out: Path) -> None:
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, _LONG_AGO)
            info.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while block := source.read(2**22):
                    target.write(block)


def _compare(trained: TrainedRun, part: Path) -> None:
    """Raises RuntimeError where the package that was just written is not the run."""
    opened = open_trained(part)
    ours, theirs = (dataclasses.asdict(run.config) for run in (trained, opened))
    if theirs != dataclasses.asdict(without_places(trained.config)):
        raise RuntimeError(f"the package has another config than the run: {theirs}, not {ours}")
    if (opened.classes, opened.step) != (trained.classes, trained.step):
        raise RuntimeError("the package has other classes than the run, or another step")
    inputs = [*random_inputs(trained.config).values()]
    with on_cpu():
        expected, found = (jax.tree.map(np.asarray, unfolded(run)(*inputs)) for run in (trained, opened))
    differ = [name for name in expected if found[name].tobytes() != expected[name].tobytes()]
    if found.keys() != expected.keys() or differ:
        raise RuntimeError(f"the package answers differently from the run: {differ or sorted(found)}")
