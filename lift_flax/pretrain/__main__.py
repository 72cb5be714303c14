"""Learns from clips without their labels; `lift-flax train` can start from what that gives.

    lift-flax pretrain --config=own:tiny --config.data.dir=RECORDS --workdir=PRE
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --config.train.init_from=PRE --workdir=DIR
    lift-flax pretrain --config=own:tiny --config.data.dir=RECORDS --workdir=PRES --folds=all   # for train --folds

It trains the R(2+1)D, and a ViT that starts from random weights, on the training clips of the fold; test clips are not
read.  RECORDS may be others than those of the training.  The same command continues a run that was interrupted.
"""

import functools
from pathlib import Path

from absl import flags

from lift_flax import command_line, config_flags, errors
from lift_flax.config import Config
from lift_flax.distributed import processes, run_command
from lift_flax.pretrain.run import COLLAPSED, pretrain, resolve
from lift_flax.train import folds


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
    run_command.join(values, config)
    run_command.leave_after(functools.partial(_run, config, workdir, values.folds))


def _flags(arguments: list[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.define_config(values, arguments)
    flags.DEFINE_string("workdir", None, "folder of this run: checkpoints and metrics", flag_values=values)
    flags.DEFINE_string(
        "folds",
        None,
        "all, or numbers as 1,3: pretrain for each of these folds in a folder of --workdir",
        flag_values=values,
    )
    run_command.define_cluster(values)
    return values


def _run(config: Config, workdir: Path, chosen: str | None = None) -> None:
    with run_command.running() as stop:
        if chosen is None:
            _say(pretrain(config, workdir, stop))
        else:
            for _, found in folds.train_each(folds.choose(config, workdir, chosen, resolve), stop, pretrain):
                _say(found)
        of_folds = f" --folds={chosen}" if chosen else ""
        print(f"next: lift-flax train ... --config.train.init_from={workdir}{of_folds}", flush=True)


def _say(found: dict) -> None:
    """Prints how a pretraining has ended, and a line more where it has gone wrong."""
    if not processes.is_first():
        return
    print(
        f"pretrained on {found['clips']} clips: in the last epoch {command_line.percent(found['top1'])} of the views "
        f"find the other view of their clip; deviation of the embeddings {found['std']:.2f} (1 at most)",
        flush=True,
    )
    if found["std"] < COLLAPSED:
        print(
            "the embeddings have collapsed: all clips look nearly alike to the network.  Pretrain anew with a smaller "
            "--config.train.learning_rate or a larger --config.train.batch_size",
            flush=True,
        )


if __name__ == "__main__":
    errors.run_cli(main)
