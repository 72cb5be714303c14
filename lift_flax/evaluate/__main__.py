"""Scores trained runs; every number stands with its protocol.

    lift-flax evaluate --workdir=RUN                                   # the test split, as training scored it
    lift-flax evaluate --workdir=RUN --views=3x3 --json
    lift-flax evaluate --workdir=RUNS                                  # all folds of train --folds, pooled
    lift-flax evaluate --workdir=FOLD1 --workdir=FOLD2                 # the same; of seeds: mean and deviation
    lift-flax evaluate --workdir=RUN --illumination --twin=day=DAY_RECORDS   # accuracy over brightness
    lift-flax evaluate --workdir=RUN --data-dir=OTHER_RECORDS              # classes are matched by name

Each view is a clip over the whole video: other frames, or a crop at another place of the longer side.
Intervals hold 95 % of 2000 bootstrap draws of whole scenes or actors.  docs/use.md explains every number.
"""

import argparse
import json
from pathlib import Path

from lift_flax import command_line, compiling, errors
from lift_flax.errors import UserError
from lift_flax.evaluate import tables
from lift_flax.evaluate.evaluation import AVERAGES, SPLITS, Evaluation, Protocol
from lift_flax.evaluate.pooling import mean_over_runs, pooled, runs_of
from lift_flax.files import refuse_existing, write_text
from lift_flax.runs.trained import open_trained


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(argv)
    if args.out:
        if args.out.is_dir() or not args.out.absolute().parent.is_dir():
            raise UserError(f"--out={args.out}: name a file in a folder that exists")
        refuse_existing(args.out, overwrite=args.overwrite)
    protocol = Protocol(
        args.data_dir, args.split, args.fold, args.views, args.average, args.batch_size, args.illumination,
        tuple(args.twin),
    )  # fmt: skip
    compiling.keep_compiled_programs()
    runs = [open_trained(workdir) for given in args.workdir for workdir in runs_of(given)]
    evaluations = [Evaluation(trained, protocol, command_line.say) for trained in runs]  # mistakes show first
    results = [evaluation.run() for evaluation in evaluations]
    report = {
        "runs": results,
        "mean": mean_over_runs(results) if len(results) > 1 else None,
        "pooled": pooled(results, [evaluation.answers for evaluation in evaluations]),
    }
    if args.out:
        write_text(args.out, json.dumps(report, indent=2) + "\n")
    if args.json:
        print(json.dumps(report, indent=2))
        return
    if report["pooled"]:
        tables.show_pooled(report["pooled"])
    for result in results:
        if args.each or not report["pooled"]:
            tables.show(result)
        elif "illumination" in result:
            print(f"{result['workdir']}:")
            tables.show_curve(result)
    if report["mean"]:
        tables.show_mean(report["mean"], len(results))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, "lift-flax evaluate")
    parser.add_argument(
        "--workdir",
        type=Path,
        required=True,
        action="append",
        help="folder of a trained run, or of the folds of train --folds, or a package with --data-dir; may be repeated",
    )
    parser.add_argument("--data_dir", type=Path, help="records; the run's own if not given")
    parser.add_argument("--fold", type=int, help="official fold; the run's own if not given")
    parser.add_argument("--split", choices=SPLITS, default="test", help="which split of the fold")
    parser.add_argument("--views", help="clips x crops of each video, for example 3x3; as in training if not given")
    parser.add_argument("--average", choices=AVERAGES, help="what is averaged over views; as in training if not given")
    parser.add_argument("--batch_size", type=int, help="views at a time; 8 for each device if not given")
    parser.add_argument("--illumination", action="store_true", help="also accuracy over brightness, as a curve")
    twin = "with --illumination: records of the same motions in other light; may be repeated"
    parser.add_argument("--twin", type=_twin, action="append", default=[], metavar="NAME=DIR", help=twin)
    parser.add_argument("--each", action="store_true", help="also the table of each run, where folds are pooled")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out where it exists")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _twin(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, Path(folder)


if __name__ == "__main__":
    errors.run_cli(main)
