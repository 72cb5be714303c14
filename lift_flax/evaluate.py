"""Scores trained runs, with the protocol beside every number.

    python -m lift_flax.evaluate --workdir=RUN                                   # the test split, as training scored it
    python -m lift_flax.evaluate --workdir=RUN --views=10x3 --json
    python -m lift_flax.evaluate --workdir=FOLD1 --workdir=FOLD2 --workdir=FOLD3 # mean over official splits
    python -m lift_flax.evaluate --workdir=RUN --illumination --twin=day=DAY_RECORDS # accuracy over brightness
    python -m lift_flax.evaluate --workdir=RUN --data_dir=OTHER_RECORDS           # classes are matched by name

Intervals hold 95 % of 2000 bootstrap draws, clips of one scene or actor drawn together; ECE is the expected calibration
error over 15 bins.
"""

import argparse
import dataclasses
import json
import logging
import re
import sys
from pathlib import Path

import jax
import numpy as np

from lift_flax import compilation_cache, errors, evaluate_report, illumination, scoring, sharding
from lift_flax.config import Config, Mesh
from lift_flax.data.camera import Relight
from lift_flax.data.clips import view_grid
from lift_flax.data.records import Records, check_flow, open_records
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.scoring import NETWORKS
from lift_flax.trained import Trained, open_trained

_MOST_VIEWS = 100


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(argv)
    logging.getLogger("absl").setLevel(logging.ERROR)
    compilation_cache.use()
    results = [evaluate(open_trained(workdir), args) for workdir in args.workdir]
    report = {"runs": results, "mean": mean_over_runs(results) if len(results) > 1 else None}
    if args.out:
        write_text(args.out, json.dumps(report, indent=2) + "\n")
    if args.json:
        print(json.dumps(report, indent=2))
        return
    for result in results:
        evaluate_report.show(result)
    if report["mean"]:
        evaluate_report.show_mean(report["mean"], len(results))


def _parser() -> argparse.ArgumentParser:
    parser = errors.ArgumentParser(
        prog="python -m lift_flax.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workdir", type=Path, required=True, action="append", help="of a run; may be repeated")
    parser.add_argument("--data_dir", type=Path, help="records; the run's own if not given")
    parser.add_argument("--fold", type=int, help="official fold; the run's own if not given")
    parser.add_argument("--split", default="test", help="of the fold: test or train")
    parser.add_argument("--views", default="1x1", help="temporal clips x spatial crops of each video, up to 10x3 or so")
    parser.add_argument("--average", choices=("logits", "softmax"), default="logits", help="of the views of a video")
    parser.add_argument("--batch_size", type=int, help="views at a time; 8 for each device if not given")
    parser.add_argument("--illumination", action="store_true", help="also accuracy over brightness, as a curve")
    twin = "with --illumination: records of the same motions in other light; may be repeated"
    parser.add_argument("--twin", type=_twin, action="append", default=[], metavar="NAME=DIR", help=twin)
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _twin(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, Path(folder)


def parse_views(text: str) -> tuple[int, int]:
    """(temporal clips, spatial crops) of "10x3".  Raises UserError for anything else."""
    match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if not match or not 1 <= int(match[1]) * int(match[2]) <= _MOST_VIEWS:
        raise UserError(f"--views={text}: write CLIPSxCROPS, for example 10x3, at most {_MOST_VIEWS} views in all")
    return int(match[1]), int(match[2])


def evaluate(trained: Trained, args: argparse.Namespace) -> dict:
    """The protocol and both networks' scores of one run; with --illumination their curve as well.

    Raises:
      UserError: the records do not fit the run, or have no such split.
    """
    clips, crops = parse_views(args.views)
    if args.illumination and trained.config.model.luminous.input == "flow":
        raise UserError("--illumination needs frames, and the luminous stream of this run takes optical flow")
    score = make_scorer(trained, args.data_dir, args)
    views = view_grid(clips, crops)
    _say(f"{trained.workdir}: scoring {len(score.ids)} clips, {len(views)} views of each ...")
    scores, _ = score(views=views, average=args.average)
    config = trained.config
    result = {
        "workdir": str(trained.workdir),
        "records": str(score.records.dir),
        "dataset": config.dataset,
        "fold": score.fold,
        "split": args.split,
        "views": args.views,
        "average": args.average,
        "frames": config.data.num_frames,
        "size": config.data.size,
        "step": trained.step,
        "num_examples": len(score.ids),
        "left_out": score.left_out,
        "classes": list(trained.classes),
        **scores,
    }
    if args.illumination:
        result["illumination"] = _illumination(trained, score, args)
    return result


def _illumination(trained: Trained, score: "Scorer", args: argparse.Namespace) -> dict:
    """The curve, and the twins on it; also written to the workdir, as JSON and as a picture."""

    def in_light(light: Relight) -> dict:
        _say(f"exposure {light.camera.exposure:g} ...")
        return illumination.point(*score(light=light))

    found = {**illumination.curve(in_light), "twins": []}
    for name, data_dir in args.twin:
        _say(f"twin {name} ...")
        found["twins"].append({"name": name, **illumination.point(*make_scorer(trained, data_dir, args)())})
    write_text(trained.workdir / "illumination.json", json.dumps(found, indent=2) + "\n")
    illumination.draw(found, trained.workdir / "illumination.png", 1 / len(trained.classes))
    return found


@dataclasses.dataclass(frozen=True)
class Scorer:
    """One split of one folder of records, to be scored by a trained run in any views and any light.

    Attributes:
      left_out: clips of the split whose class the run does not know.
    """

    trained: Trained
    records: Records
    mesh: jax.sharding.Mesh
    predict: scoring.Predictor
    fold: int
    ids: list[str]
    labels: np.ndarray
    left_out: int

    def __call__(self, **how) -> tuple[dict, np.ndarray]:
        """(scores of teacher and student, mean luma of each clip); `how` as of `scoring.make_predictor`."""
        with jax.set_mesh(self.mesh):
            found = self.predict(self.trained.params, self.trained.batch_stats, self.ids, labels=self.labels, **how)
        groups = scoring.groups_of(self.records, self.ids)
        return scoring.judge_networks(found, groups, self.trained.classes), found["luma"]


def make_scorer(trained: Trained, data_dir: Path | None, args: argparse.Namespace) -> Scorer:
    """Opens `data_dir`, or the run's own records.  Raises UserError where they do not fit the run."""
    records = open_records(str(data_dir or trained.config.data.dir))
    check_flow(records, trained.config)
    config = _for_scoring(trained.config, args.batch_size)
    fold = config.data.fold if args.fold is None else args.fold
    ids, labels, left_out = matching_clips(records, records.split(fold, args.split), trained)
    mesh = sharding.make_mesh(config)
    predict = scoring.make_predictor(trained.outputs, config, records, mesh)
    return Scorer(trained, records, mesh, predict, fold, ids, labels, left_out)


def _for_scoring(config: Config, batch_size: int | None) -> Config:
    """`config` on all devices of this machine, and without a cache: every view is read once."""
    batch = 8 * jax.device_count() if batch_size is None else batch_size
    if batch < 1 or batch % jax.device_count():
        raise UserError(
            f"--batch_size={batch}: it must be a multiple of {jax.device_count()}, the devices of this machine"
        )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, cache="none"),
        train=dataclasses.replace(config.train, batch_size=batch, accumulate=1),
        mesh=Mesh(data=-1, fsdp=1, heartbeat_seconds=config.mesh.heartbeat_seconds),
    )


def matching_clips(records: Records, ids: list[str], trained: Trained) -> tuple[list[str], np.ndarray, int]:
    """(ids, labels of the run [N], how many were left out): the clips whose class, by name, the run knows.

    Raises:
      UserError: there is none.
    """
    label_of = {name: label for label, name in enumerate(trained.classes)}
    names = {i: records.classes[records.rows[i][1]] for i in ids}
    known = [i for i in ids if names[i] in label_of]
    if not known:
        raise UserError(
            f"{records.dir} and {trained.workdir} have no class in common: {', '.join(records.classes[:5])} ... there, "
            f"{', '.join(trained.classes[:5])} ... here"
        )
    return known, np.array([label_of[names[i]] for i in known]), len(ids) - len(known)


def mean_over_runs(results: list[dict]) -> dict[str, dict | None]:
    """{network: {"top1": [mean, standard deviation], "mean_class": the same}}, None where a run has no such network."""
    means = {}
    for network in NETWORKS:
        scores = [result[network] for result in results]
        means[network] = None
        if all(scores):
            means[network] = {
                name: [float(np.mean(values)), float(np.std(values, ddof=1))]
                for name in ("top1", "mean_class")
                for values in [[score[name] for score in scores]]
            }
    return means


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    errors.run(main)
