"""The start from any run (`train.init_from`): arrays of the same path and shape are taken, all others are drawn anew.

Its data set, classes, frames, size and even its networks may differ.  It is no checkpoint: training starts at step 0
with fresh moments.  Weights of one part alone have `init_from` fields of their own (lift_flax/weights/pretrained.py).
"""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.config import Config
from lift_flax.data.records import Records, open_records
from lift_flax.errors import UserError
from lift_flax.fields import flat_fields
from lift_flax.models.functional import Tree, flatten
from lift_flax.runs import config_file, workdir
from lift_flax.runs.checkpoints import read_best
from lift_flax.weights.converted import FACTS

ByPath = dict[str, np.ndarray]  # by path: "params/...", "batch_stats/..."

_NAMED = 6  # that a line names at most of what is drawn anew
_PHASES = ("teacher", "student", "pretrain")
_TRUNKS = ("trunk", "teacher")  # where a student keeps an R(2+1)D
_COMPUTES = ("model", "data.num_frames", "data.size", "data.sampling", "data.stride", "data.window_seconds")


def digest(config: Config) -> str:
    """Names the arrays of the run; they must not change while a run that started from them goes on."""
    found = hashlib.sha256()
    for phase, arrays in _phases(_folder(config)).items():
        for path in sorted(arrays):
            found.update(f"{phase}/{path}".encode() + np.ascontiguousarray(arrays[path]).tobytes())
    return found.hexdigest()


def fitting(config: Config, phase: str, shapes: Tree) -> ByPath:
    """What fits a phase's network; perhaps nothing.

    Args:
      phase: "teacher", "student" or "pretrain".
      shapes: {"params", "batch_stats"} of its network.
    Raises:
      UserError: the folder is no run's.
    """
    theirs, ours = _arrays(_folder(config), phase), flatten(shapes)
    taken = {path: array for path, array in theirs.items() if path in ours and array.shape == ours[path].shape}
    return {path: np.asarray(array, ours[path].dtype) for path, array in taken.items()}


def check(config: Config, found: list[ByPath]) -> None:
    """Raises UserError where the run has nothing for any phase."""
    if not any(path.startswith("params/") for arrays in found for path in arrays):
        raise UserError(
            f"config.train.init_from={config.train.init_from}: nothing of it has the path and shape of a parameter of "
            "this config; name a run of the same networks, or leave it out"
        )


def taken(config: Config, phase: str, shapes: Tree, filled: set[str]) -> ByPath:
    """`fitting`; prints what is taken, and what of the network is drawn anew.

    Args:
      filled: paths that the network takes from elsewhere.
    """
    found = {path: array for path, array in fitting(config, phase, shapes).items() if path not in filled}
    new = [path.split("/", 1)[1] for path in flatten(shapes) if path not in found and path not in filled]
    more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
    drawn = f"; drawn anew: {', '.join(new[:_NAMED])}{more}" if new else ""
    print(f"{phase}: {len(found)} arrays from {_folder(config)}{drawn}", flush=True)
    if differ := _computes_otherwise(config):
        print(f"{phase}: there {', '.join(differ)}", flush=True)
    return found


def check_held_out(config: Config, records: Records, held_out: dict[str, list[str]]) -> None:
    """Raises UserError where the run was trained on clips that this one tests or validates on.

    So are the runs that it started from.  What was trained on clips that are not there any more, or that records of an
    earlier version do not name, cannot be known; a line says so.

    Args:
      held_out: ids of this run's clips, by what they are called: "test", "validation".
    """
    folder: Path | None = _folder(config)
    seen: set[Path] = set()  # a run may have been replaced by one that goes back to it
    while folder and folder.resolve() not in seen:
        seen.add(folder.resolve())
        try:
            other = config_file.load(folder / "config.json")
        except UserError:
            print(f"whether {folder} was trained on held-out clips of this run cannot be known", flush=True)
            return
        if other.model.pvit.init_from or other.model.teacher.init_from:
            print(f"what the weights were trained on that {folder} started from cannot be known", flush=True)
        learnt = _learnt(folder, other)
        for name, ids in held_out.items():
            ours = {records.index[i].content: i for i in ids if records.index[i].content}
            if ids and not (learnt and ours):
                print(f"whether {folder} was trained on {name} clips of this run cannot be known", flush=True)
            if both := learnt & set(ours):
                raise UserError(
                    f"config.train.init_from={config.train.init_from}: {folder} was trained on {len(both)} {name} "
                    f"clips of this run ({ours[min(both)]}); name a run of the same fold, or of other clips"
                )
        folder = Path(other.train.init_from) if other.train.init_from else None


def _learnt(folder: Path, config: Config) -> set[str]:
    """Digests of the clips that a run was trained on; empty where they cannot be known."""
    with contextlib.suppress(UserError):
        records, stated = open_records(config.data.dir), workdir.facts(folder)["train_digest"]
        ids, val_ids = records.train_and_validation(config.data.fold, config.data.val_share, config.seed)
        other = records.unused(config.data.fold, val_ids)  # a pretraining may have learnt from them, too
        for learnt in (ids, ids + other):
            if workdir.is_of(stated, records, learnt):
                return {records.index[i].content for i in learnt} - {""}
    return set()


def _folder(config: Config) -> Path:
    folder = Path(config.train.init_from).absolute()
    if (folder / FACTS).exists():
        raise UserError(
            f"config.train.init_from={config.train.init_from} holds converted weights of one part: name them as "
            "config.model.teacher.init_from or config.model.pvit.init_from"
        )
    if not (folder / "config.json").exists():
        if folds := sorted(path.parent.name for path in folder.glob("fold*/config.json")):
            raise UserError(
                f"config.train.init_from={config.train.init_from} holds runs of folds, {', '.join(folds)}: name one of "
                "them, or train these folds (--folds)"
            )
        raise UserError(f"config.train.init_from={config.train.init_from} is not the workdir of a run: name one")
    return folder


def _phases(folder: Path) -> dict[str, ByPath]:
    """What a run holds of each phase that it has trained."""
    found = {phase: _read(folder, phase) for phase in _PHASES if (folder / phase).is_dir()}
    if not found:
        raise UserError(f"{folder} holds nothing trained yet: name another run in config.train.init_from")
    return found


def _read(folder: Path, phase: str) -> ByPath:
    params, batch_stats, _ = read_best(folder / phase)
    return flatten({"params": params, "batch_stats": batch_stats})


def _arrays(folder: Path, phase: str) -> ByPath:
    """Those of a phase, out of another one where the run has not trained it: a teacher is the trunk of the others."""
    if (folder / phase).is_dir():
        return _read(folder, phase)
    found = _phases(folder)
    if phase != "teacher" and (whole := found.get("student") or found.get("pretrain")):
        return whole
    (other,) = found.values()
    if phase != "teacher":
        return {path.replace("/", f"/{place}/", 1): array for place in _TRUNKS for path, array in other.items()}
    split = {path: path.split("/", 2) for path in other}
    return {f"{kind}/{rest[0]}": other[path] for path, (kind, part, *rest) in split.items() if part == "trunk" and rest}


def _computes_otherwise(config: Config) -> list[str]:
    """Fields of the run that its arrays were trained with, where this config has others: "model.x is 1, not 2"."""
    theirs, ours = (flat_fields(c) for c in (config_file.load(_folder(config) / "config.json"), config))
    names = [name for name in ours if f"{name}.".startswith(tuple(f"{group}." for group in _COMPUTES))]
    kept = [name for name in names if not name.endswith(("init_from", "unfreeze"))]
    return [f"{name} is {_text(theirs[name])}, not {_text(ours[name])}" for name in kept if theirs[name] != ours[name]]


def _text(value: Any) -> str:
    return "-".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
