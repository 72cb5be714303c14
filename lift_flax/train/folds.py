"""Cross-validation: every fold of the records as a run of its own, and their pooled result.

The folds follow one another in this process: those that jax.distributed has joined could not join again as children,
and a fold leaves no arrays behind, so memory stays flat.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lift_flax.config import Config
from lift_flax.data.records import Records, open_records
from lift_flax.distributed import processes
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.errors import UserError
from lift_flax.evaluate import scoring
from lift_flax.evaluate.pooling import judge_together, mean_over_runs
from lift_flax.files import write_text
from lift_flax.runs.workdir import check_continues, finished, read_predictions
from lift_flax.train import run
from lift_flax.train.opening import Start
from lift_flax.weights.pretrained import with_settings

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Fold:
    """One fold to train: its name in folds.json, the config and the workdir of its run."""

    name: str
    config: Config
    workdir: Path


def choose(
    config: Config, workdir: Path, wanted: str, resolve: Callable[[Config, Records, Path], Start] = run.resolve
) -> list[Fold]:
    """The folds to train, after checks of all that can be known before the first one; nothing is written.

    Args:
      config: of every fold, but for `data.fold`; `train.teacher_from` is such a workdir of folds too,
        and `train.init_from` may be one.
      workdir: of all folds; that of fold 1 is its folder `fold1`.
      wanted: "all", or numbers of folds as "1,3".
      resolve: what the run of a fold starts with (`run.resolve`).

    Raises:
      UserError: the records have no such fold, one that lacks clips, or it is named twice; the workdir holds something
        else, or folds of another config or of other clips.
    """
    with processes.all_or_none():
        records = open_records(config.data.dir)
        names = _names(records, wanted)
        folds = {name: _fold(with_settings(config), workdir, name) for name in records.folds}
        _refuse_foreign(workdir, {fold.workdir.name for fold in folds.values()})
        for name, fold in folds.items():
            if name in names or fold.workdir.exists():
                start = resolve(fold.config, records, fold.workdir)
                check_continues(fold.workdir, *start.identity(), weights=start.weights)
    return [folds[name] for name in names]


def train_each(
    folds: list[Fold],
    stop: StopSignal | None = None,
    train: Callable[[Config, Path, StopSignal | None], dict] = run.train_and_test,
) -> Iterator[tuple[Fold, dict]]:
    """Trains and tests fold after fold; yields each with what `train` returns.

    Finished folds are not trained again, and an interrupted one goes on where it was.

    Raises:
      UserError: a fold cannot be trained; the folds before it are finished.
      Stopped: `stop` came; what was reached is saved.
    """
    for number, fold in enumerate(folds, 1):
        print(f"fold {fold.name} ({number} of {len(folds)}): {fold.workdir}", flush=True)
        try:
            results = train(fold.config, fold.workdir, stop)
        except (UserError, Stopped) as error:
            error.args = (f"fold {fold.name}: {error}",)  # of the same class: `leave_after` asks for it
            raise
        yield fold, results


def pool(config: Config, workdir: Path) -> dict:
    """The result of all folds that `workdir` holds finished, which the first process writes to its results.json.

    Where each clip is tested in one fold only, "teacher" and "student" are what `metrics.judge` says of all of them,
    each answered by the network of its own fold.  Where folds overlap, a clip has several answers: they are None then.

    Returns:
      What docs/use.md explains; nothing on the other processes.
    """
    with processes.all_or_none():
        if not processes.is_first():
            return {}
        report = _pooled(config, workdir)
        write_text(workdir / "results.json", json.dumps(report, indent=2) + "\n")
        return report


def _pooled(config: Config, workdir: Path) -> dict:
    records = open_records(config.data.dir)
    folds = {name: _fold(config, workdir, name) for name in records.folds}
    results = {name: found for name, fold in folds.items() if (found := finished(fold.workdir))}
    scored = {name: read_predictions(folds[name].workdir) for name in results}
    ids = [i for arrays in scored.values() for i in arrays["ids"].tolist()]
    times = collections.Counter(ids)
    first = next(iter(results.values()))
    pooled: dict = dict.fromkeys((*scoring.NETWORKS, *scoring.COMPARED))
    if len(times) == len(ids):
        pooled = judge_together(list(scored.values()), scoring.groups_of(records, ids), records.classes)
    return {
        "records": records.place,
        **{name: first[name] for name in ("dataset", "split", "views", "classes")},
        "folds": [_of_fold(folds[name], found, scored[name], records) for name, found in results.items()],
        "missing": [int(name) for name in folds if name not in results],
        "num_examples": len(times),
        "num_groups": len({records.index[i].group for i in ids} - {""}),
        "in_several_folds": sum(count > 1 for count in times.values()),
        **pooled,
        "mean": mean_over_runs(list(results.values())) if len(results) > 1 else None,
    }


def _names(records: Records, wanted: str) -> list[str]:
    """The folds that --folds names, in the order of the records."""
    if wanted == ALL:
        return list(records.folds)
    choice = f"write all, or some of {','.join(records.folds)}"
    if not wanted.strip():
        raise UserError(f"--folds is empty: {choice}")
    given = [word.strip() for word in wanted.split(",")]
    if unknown := [word for word in given if word not in records.folds]:
        raise UserError(f"--folds={wanted}: {records.lacks_fold(unknown[0])}: {choice}")
    if twice := [word for word in given if given.count(word) > 1]:
        raise UserError(f"--folds={wanted} names fold {twice[0]} twice: name each fold once")
    return [name for name in records.folds if name in given]


def _fold(config: Config, workdir: Path, name: str) -> Fold:
    teacher_from = config.train.teacher_from and str(Path(config.train.teacher_from) / f"fold{name}")
    data = dataclasses.replace(config.data, fold=int(name))
    start = Path(config.train.init_from) / f"fold{name}"
    init_from = str(start) if config.train.init_from and start.is_dir() else config.train.init_from
    train = dataclasses.replace(config.train, teacher_from=teacher_from, init_from=init_from)
    return Fold(name, dataclasses.replace(config, data=data, train=train), workdir / f"fold{name}")


def _refuse_foreign(workdir: Path, own: set[str]) -> None:
    """Refuses a path that is neither a workdir of folds nor free to become one."""
    if (workdir / "config.json").exists():
        raise UserError(f"{workdir} is the workdir of one run: choose another --workdir for --folds")
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file: choose another --workdir")
    found = {name for name in os.listdir(workdir) if not name.startswith(".")} if workdir.is_dir() else set()
    if others := sorted(found - own - {"results.json"}):
        raise UserError(f"{workdir} is not empty and not a workdir of folds ({others[0]}): choose another --workdir")


def _of_fold(fold: Fold, results: dict, scored: dict[str, np.ndarray], records: Records) -> dict:
    """What the whole says of one fold; the rest is in the fold's own results.json."""
    named = sorted({records.index[i].group for i in scored["ids"].tolist()} - {""})
    top1 = {network: results[network] and results[network]["top1"] for network in scoring.NETWORKS}
    facts = {"num_examples": results["num_examples"], "groups": named}
    return {"fold": int(fold.name), "workdir": fold.workdir.name, **facts, **top1}
