"""The start from any run (`train.init_from`): arrays of the same path and shape are taken, all others are drawn anew.

Its data set, classes, frames, size and even its networks may differ.  It is no checkpoint: training starts at step 0
with fresh moments.  Weights of one part alone have `init_from` fields of their own (lift_flax/weights/pretrained.py).
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.errors import UserError
from lift_flax.fields import flat_fields
from lift_flax.models.functional import Tree, flatten
from lift_flax.runs import places
from lift_flax.runs.config_file import PACKED
from lift_flax.train.starts.earlier_run import ByPath, EarlierRun
from lift_flax.weights.converted import FACTS

_RENDERED = "night_figures"  # source of clips as the shipped network was trained on
_NAMED = 6  # that a line names at most of what is drawn anew
_COMPUTES = ("model", "data.num_frames", "data.size", "data.sampling", "data.stride", "data.window_seconds")


def digest(config: Config) -> str:
    """Names the arrays of the run; they must not change while a run that started from them goes on."""
    found = hashlib.sha256()
    for phase, arrays in _opened(config).phases().items():
        for path in sorted(arrays):
            found.update(f"{phase}/{path}".encode() + np.ascontiguousarray(arrays[path]).tobytes())
    return found.hexdigest()


def fitting(config: Config, phase: str, shapes: Tree) -> ByPath:
    """What fits a phase's network; perhaps nothing.

    Args:
      phase: "teacher", "student" or "pretrain".
      shapes: {"params", "batch_stats"} of its network.
    Raises:
      UserError: `train.init_from` names no run.
    """
    theirs, ours = _opened(config).arrays(phase), flatten(shapes)
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
    print(f"{phase}: {len(found)} arrays from {_opened(config).path}{drawn}", flush=True)
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
    run: EarlierRun | None = _opened(config)
    seen: set[Path] = set()  # a run may have been replaced by one that goes back to it
    while run and run.path.resolve() not in seen:
        seen.add(run.path.resolve())
        if run.path == places.SHIPPED_FOLDER and records.source != _RENDERED:  # it has seen rendered people alone
            return
        if run.has_unknown_start:
            print(f"what the weights were trained on that {run.path} started from cannot be known", flush=True)
        learnt = run.learnt(records)
        for name, ids in held_out.items():
            ours = {records.index[i].content: i for i in ids if records.index[i].content}
            if ids and not (learnt and ours):
                print(f"whether {run.path} was trained on {name} clips of this run cannot be known", flush=True)
            if both := learnt & set(ours):
                raise UserError(
                    f"config.train.init_from={config.train.init_from}: {run.path} was trained on {len(both)} {name} "
                    f"clips of this run ({ours[min(both)]}); name a run of the same fold, or of other clips"
                )
        run = _before(run.config.train.init_from)


def _before(start: str) -> EarlierRun | None:
    """The run that an earlier one started from; None where that started from none, or it cannot be opened any more."""
    try:
        return EarlierRun(start) if start else None
    except UserError:
        print(f"whether {start} was trained on held-out clips of this run cannot be known", flush=True)
        return None


def _opened(config: Config) -> EarlierRun:
    given = config.train.init_from
    folder = Path(given)
    if not places.is_name(given):
        if (folder / FACTS).exists():
            raise UserError(
                f"config.train.init_from={given} holds converted weights of one part: name them as "
                "config.model.teacher.init_from or config.model.pvit.init_from"
            )
        if folds := sorted(path.parent.name for path in folder.glob("fold*/config.json")):
            if not (folder / "config.json").exists():
                raise UserError(
                    f"config.train.init_from={given} holds runs of folds, {', '.join(folds)}: name one of them, or "
                    "train these folds (--folds)"
                )
        if not folder.is_file() and not any((folder / name).exists() for name in ("config.json", PACKED)):
            raise UserError(f"config.train.init_from={given} is not the workdir of a run: name one")
    return EarlierRun(given)


def _computes_otherwise(config: Config) -> list[str]:
    """Fields of the run that its arrays were trained with, where this config has others: "model.x is 1, not 2"."""
    theirs, ours = (flat_fields(c) for c in (_opened(config).config, config))
    names = [name for name in ours if f"{name}.".startswith(tuple(f"{group}." for group in _COMPUTES))]
    kept = [name for name in names if not name.endswith(("init_from", "unfreeze"))]
    return [f"{name} is {_text(theirs[name])}, not {_text(ours[name])}" for name in kept if theirs[name] != ours[name]]


def _text(value: Any) -> str:
    return "-".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
