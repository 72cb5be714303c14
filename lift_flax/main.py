"""Trains a teacher and a student, evaluates both, and writes a report.

    lift-flax train --config=arid --config.data.dir=RECORDS --workdir=DIR
    lift-flax train --config=own:tiny --config.train.batch_size=4 --config.data.dir=RECORDS --workdir=DIR
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --workdir=DIR --folds=all     # cross-validation
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --config.data.val_share=0.2 --workdir=DIR \\
        --tune=FILE     # compares the settings in FILE, one a line as train.learning_rate=3e-4, on validation clips

RECORDS is what `lift-flax build` has written.  The same command continues a run that was interrupted.  On a cluster
start it once for every process (docs/cluster.md).
"""

import functools
from pathlib import Path

from absl import flags

from lift_flax import config_flags, errors
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.distributed import processes, run_command
from lift_flax.train import folds, run, tune
from lift_flax.train.screen import summary


def _flags(arguments: list[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.define_config(values, arguments)
    flags.DEFINE_string(
        "workdir", None, "folder of this run: checkpoints, metrics, results, report", flag_values=values
    )
    flags.DEFINE_string(
        "folds",
        None,
        "all, or numbers as 1,3: train each of these folds in a folder of --workdir, and pool their results",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tune",
        None,
        "FILE of settings, fields as train.learning_rate=3e-4 on each line: train each in a folder of --workdir, and "
        "rank them on validation clips; test clips are not read",
        flag_values=values,
    )
    run_command.define_cluster(values)
    return values


def main(argv: list[str] | None = None) -> None:
    """The command line.

    Args:
      argv: flags without the program's name; None takes those of the process.

    Raises:
      UserError: for anything that is wrong in them, in the data or in the workdir.
    """
    arguments = config_flags.arguments_of(argv)
    values = _flags(arguments)
    begun = run_command.begin(__doc__, values, arguments)
    if begun is None:
        return
    config, workdir = begun
    if values.folds is not None and values.tune is not None:
        raise errors.UserError("--tune compares settings on one fold: leave out --folds")
    run_command.join(values, config)
    go = functools.partial(_run, config, workdir, values.folds)
    if values.tune is not None:
        settings = tune.read(Path(values.tune), functools.partial(_configured, arguments), workdir)
        go = functools.partial(_run, config, workdir, settings=settings)
    run_command.leave_after(go)


def _configured(arguments: list[str], words: list[str]) -> Config:
    """The config of a command line with more fields set, "train.learning_rate=3e-4" and the like."""
    known = config_flags.arguments_of([*arguments[1:], *(f"--config.{word}" for word in words)])
    return from_dict(config_flags.parse(_flags(known), known))


def _run(config: Config, workdir: Path, chosen: str | None = None, settings: list[tune.Setting] | None = None) -> None:
    with run_command.running() as stop:
        if settings is not None:
            _run_settings(settings, workdir, stop)
        elif chosen is not None:
            _run_folds(config, workdir, chosen, stop)
        else:
            _run_one(config, workdir, stop)


def _run_one(config: Config, workdir: Path, stop: processes.StopSignal) -> None:
    results = run.train_and_test(config, workdir, stop)
    if processes.is_first():
        summary.show_accuracy(results)
        for line in (*summary.unfitted(results, config), f"results: {workdir / 'results.json'}"):
            print(line, flush=True)
    with processes.all_or_none():
        if processes.is_first():
            _finish(config, workdir)


def _run_folds(config: Config, workdir: Path, chosen: str, stop: processes.StopSignal) -> None:
    for fold, results in folds.train_each(folds.choose(config, workdir, chosen), stop):
        for line in summary.unfitted(results, fold.config) if processes.is_first() else ():
            print(line, flush=True)
        with processes.all_or_none():
            if processes.is_first() and not (fold.workdir / "report.html").exists():
                _write_page(fold.workdir)
    report = folds.pool(config, workdir)
    if processes.is_first():
        summary.show_folds(report)
        print(f"results: {workdir / 'results.json'}", flush=True)
        _show_next(workdir / f"fold{report['folds'][0]['fold']}", [])


def _run_settings(settings: list[tune.Setting], workdir: Path, stop: processes.StopSignal) -> None:
    tune.check(settings, workdir)
    ranked = tune.rank(list(tune.train_each(settings, stop)), workdir)
    summary.show_settings(ranked)
    print(f"ranking: {workdir / 'tune.json'}", flush=True)


def _finish(config: Config, workdir: Path) -> None:
    """Writes the page last: whatever goes wrong with it, the results are saved and shown."""
    _write_page(workdir)
    _show_next(workdir, summary.sample_videos(config, workdir))


def _show_next(workdir: Path, videos: list[Path]) -> None:
    print("next:")
    for command in summary.next_commands(workdir, videos):
        print(f"  {command}", flush=True)


def _write_page(workdir: Path) -> None:
    from lift_flax.report import page  # imported late because it loads what draws, which a run needs only at its end

    print(f"report: {page.write_page(workdir)}", flush=True)


if __name__ == "__main__":
    errors.run_cli(main)
