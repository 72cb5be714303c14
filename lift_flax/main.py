"""Trains a teacher and a student, evaluates both, and writes a report.

    python -m lift_flax.main --config=configs/arid.py --config.data.dir=RECORDS --workdir=DIR

The same command continues a run that was interrupted.  On a cluster start it once for every process (docs/cluster.md).
"""

import logging
import os
import sys
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from lift_flax import cluster, errors, train
from lift_flax import config as config_lib

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "experiment: configs/NAME.py[:PRESET][,key=value...]", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run: checkpoints, metrics, results and report")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where no scheduler tells")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "processes of the run, with --coordinator")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "number of this process, with --coordinator")
_CLUSTER = flags.DEFINE_bool("cluster", False, "look for the other processes of a TPU pod of virtual machines")


def parse_command_line(arguments: list[str]) -> tuple[config_lib.Config, Path]:
    """(config, workdir).  Raises UserError for anything in them that is wrong."""
    try:
        rest = flags.FLAGS(arguments)
        values = _CONFIG.value and _CONFIG.value.to_dict()
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise errors.UserError(_one_line(error)) from error
    if len(rest) > 1:
        raise errors.UserError(f"'{rest[1]}' is not a flag: write --config=FILE and --workdir=DIR")
    if values is None or not _WORKDIR.value:
        raise errors.UserError("both --config=configs/NAME.py and --workdir=DIR are needed (--help explains them)")
    return config_lib.from_dict(values), Path(_WORKDIR.value)


def _one_line(error: Exception) -> str:
    """What a flags library says about a bad flag, without the traceback that it may carry in its message."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if isinstance(error, (AttributeError, KeyError)):
        words = text.replace("\\n", " ").replace("\\", "").replace("'", " ").replace('"', " ").split()
        return f"config has no such field: {' '.join(words)} (configs/common.py lists all)"
    if isinstance(error, OSError):
        return f"cannot read the config file: {text.strip().splitlines()[-1].strip()} (run from the project's folder)"
    if "Traceback" in text:
        return text.strip().splitlines()[-1].removeprefix("ValueError: ")
    return " ".join(text.split())


def main() -> None:
    """The command line."""
    if {"--help", "-h"} & set(sys.argv):
        print(__doc__ + "\n" + flags.FLAGS.main_module_help())
        return
    config, workdir = parse_command_line(sys.argv)
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what it would log is raised as well
    cache = Path.home() / ".cache" / "lift_flax" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    cluster.join(
        _COORDINATOR.value,
        _NUM_PROCESSES.value,
        _PROCESS_ID.value,
        search=_CLUSTER.value,
        heartbeat_seconds=config.mesh.heartbeat_seconds,
    )
    if not cluster.is_first():
        sys.stdout = open(os.devnull, "w")  # one process tells what happens; errors are told by each
    if jax.process_count() > 1:
        cluster.leave_after(lambda: _run(config, workdir))
    _run(config, workdir)


def _run(config: config_lib.Config, workdir: Path) -> None:
    stop = cluster.StopSignal()
    stop.listen()
    try:
        _print_table(train.run(config, workdir, stop), workdir)
    except cluster.Stopped as stopped:
        print(f"{stopped}; the same command continues", flush=True)


def _print_table(results: dict, workdir: Path) -> None:
    print(
        f"{results['dataset']}, fold {results['fold']}: {results['num_examples']} test clips, one centre view of each"
    )
    table = Table("class", "teacher", "student")
    networks = [results["teacher"], results["student"]]
    for name in results["classes"]:
        table.add_row(name, *[_percent(n and n["per_class"][name]) for n in networks])
    table.add_section()
    table.add_row("top-1", *[_percent(n and n["top1"]) for n in networks])
    table.add_row("top-5", *[_percent(n and n["top5"]) for n in networks])
    Console().print(table)
    print(f"results: {workdir / 'results.json'}   report: {workdir / 'report.html'}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    errors.run(main)
