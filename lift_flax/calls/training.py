"""Training in Python, as `lift-flax train` does it.

The calls change nothing of the process that makes them: no settings of JAX, no logging, no signal handlers.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from lift_flax.calls.loaded_run import LoadedRun, load
from lift_flax.calls.quiet import quiet_libraries
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError
from lift_flax.fields import names, unknown


def train_run(
    config: str | ConfigDict | Config, workdir: str | Path, fields: dict[str, Any] | None = None
) -> LoadedRun:
    """Trains and tests a run and writes its report, as `lift-flax train` does; continues an interrupted run.

    Args:
      config: a config, or its name as the command line takes it: "own:tiny", "my_config.py:preset".
      workdir: folder for checkpoints, metrics, results and the report.
      fields: values of single fields by dotted name, for example {"data.dir": "records"}.
    Returns:
      The trained run; `results` holds its scores.
    Raises:
      UserError: a field, the records or the workdir are wrong.
    """
    from lift_flax.distributed import processes
    from lift_flax.train.run import train_and_test

    workdir = Path(workdir)
    with quiet_libraries():
        train_and_test(_config(config, fields or {}), workdir)
        run = load(workdir)
        with processes.all_or_none():
            if processes.is_first():
                run.report()
    return run


def pretrain_run(
    config: str | ConfigDict | Config, workdir: str | Path, fields: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Learns from clips without their labels, as `lift-flax pretrain` does; continues an interrupted run.

    Args:
      config: a config, or its name as the command line takes it.
      workdir: folder for checkpoints and metrics; the field "train.init_from" of a training takes it.
      fields: values of single fields by dotted name.
    Returns:
      What pretrain.json holds.
    Raises:
      UserError: a field, the records or the workdir are wrong.
    """
    from lift_flax.pretrain.run import pretrain

    with quiet_libraries():
        return pretrain(_config(config, fields or {}), Path(workdir))


def train_folds(
    config: str | ConfigDict | Config,
    workdir: str | Path,
    fields: dict[str, Any] | None = None,
    *,
    folds: Iterable[int] | str | None = None,
) -> dict[str, Any]:
    """Trains folds of the records, each into a folder of `workdir`, as `lift-flax train --folds=all` does.

    Finished folds are not trained again, and an interrupted one goes on where it was.

    Args:
      config, fields: as of `train_run`; `data.fold` is set for each fold.
      workdir: folder of all folds; the run of fold 1 is `workdir`/fold1, for `load`.
      folds: which of them: numbers, or text as of the command line ("all", "1,3"); None trains all.
    Returns:
      The pooled result of all folds that `workdir` holds finished, as in its results.json (docs/use.md).
    Raises:
      UserError: a field, the records or the workdir are wrong.
    """
    from lift_flax.distributed import processes
    from lift_flax.report.page import write_page
    from lift_flax.train.folds import ALL, choose, pool, train_each

    workdir, wanted = Path(workdir), ALL if folds is None else _wanted(folds)
    with quiet_libraries():
        resolved = _config(config, fields or {})
        for fold, _ in train_each(choose(resolved, workdir, wanted)):
            with processes.all_or_none():
                if processes.is_first() and not (fold.workdir / "report.html").exists():
                    write_page(fold.workdir)
        return pool(resolved, workdir)


def _wanted(folds: Any) -> str:
    """The folds as the command line takes them.  Raises UserError for what is no list of numbers."""
    if isinstance(folds, str):
        return folds
    try:
        return ",".join(map(str, folds))
    except TypeError as error:
        raise UserError(f"folds={folds!r}: give numbers in a list, as [1, 3], or 'all'") from error


def _config(config: str | ConfigDict | Config, fields: dict[str, Any]) -> Config:
    """The config with `fields` by dotted name.  Raises UserError for an unknown name, or a value that does not fit."""
    if isinstance(config, str):
        nested = _named(config)
    else:
        nested = config.to_dict() if isinstance(config, ConfigDict) else dataclasses.asdict(config)
    known = set(names(Config))
    for name in fields:
        if name not in known:
            raise UserError(unknown(Config, name, known))
    return from_dict(unflatten_dict(flatten_dict(nested, sep=".") | fields, sep="."))


def _named(name: str) -> dict[str, Any]:
    """What --config=NAME holds, as nested dicts."""
    from absl import flags

    from lift_flax import config_flags

    values, arguments = flags.FlagValues(), config_flags.arguments_of([f"--config={name}"])
    config_flags.define_config(values, arguments)
    return config_flags.parse(values, arguments)
