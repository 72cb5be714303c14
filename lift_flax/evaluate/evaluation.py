"""The scores of a trained run on one split of its own or other records."""

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path

import jax
import numpy as np

from lift_flax.config import Config, Mesh
from lift_flax.data.records import Records, open_records
from lift_flax.distributed.mesh import make_mesh
from lift_flax.errors import UserError
from lift_flax.evaluate import illumination, scoring
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.files import write_text
from lift_flax.runs.trained import TrainedRun
from lift_flax.runs.workdir import digest
from lift_flax.video.camera import Relight
from lift_flax.video.sampling import view_grid

_MOST_VIEWS = 100


def parse_views(text: str) -> tuple[int, int]:
    """(temporal clips, spatial crops) of "10x3".  Raises UserError for anything else."""
    match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if not match or not 1 <= int(match[1]) * int(match[2]) <= _MOST_VIEWS:
        raise UserError(f"--views={text}: write CLIPSxCROPS, for example 10x3, at most {_MOST_VIEWS} views in all")
    return int(match[1]), int(match[2])


class Evaluation:
    """One run on one split of its own or other records, with everything opened that will be read.

    Raises:
      UserError: the records, or those of a twin, do not fit the run, or have no such split.
    """

    def __init__(self, trained: TrainedRun, args: argparse.Namespace):
        if args.illumination and trained.config.model.luminous.input == "flow":
            raise UserError(
                f"--illumination needs frames, and {trained.workdir} takes optical flow: leave --illumination out"
            )
        self.trained, self.args, self.views = trained, args, view_grid(*parse_views(args.views))
        self.score = make_scorer(trained, args.data_dir, args)
        self.twins = [(name, make_scorer(trained, data_dir, args)) for name, data_dir in args.twin]

    def run(self) -> dict:
        """The protocol and both networks' scores; with --illumination their curve as well."""
        score, config, learnt = self.score, self.trained.config, self._learnt()
        _say(f"{self.trained.workdir}: scoring {len(score.ids)} clips, {len(self.views)} views of each ...")
        scores, luma = self._scores(score)
        result = {
            "workdir": str(self.trained.workdir),
            "records": str(score.records.dir),
            "dataset": config.dataset if learnt else score.records.source,
            "fold": score.fold,
            "split": self.args.split,
            "views": self.args.views,
            "average": self.args.average,
            "frames": config.data.num_frames,
            "size": config.data.size,
            "step": self.trained.step,
            "num_examples": len(score.ids),
            "left_out": score.left_out,
            "trained_on": len(set(learnt) & set(score.ids)),
            "classes": list(self.trained.classes),
            **scores,
        }
        if self.args.illumination:
            result["illumination"] = self._illumination(result, luma, own=bool(learnt))
        return result

    def _scores(self, score: "Scorer", **light) -> tuple[dict, np.ndarray]:
        return score(views=self.views, average=self.args.average, **light)

    def _learnt(self) -> list[str]:
        """Ids of the clips that the run has learnt from; none in records that are not its own, wherever they lie."""
        config, records = self.trained.config, self.score.records
        if not records.folds.get(str(config.data.fold), {}).get("train"):
            return []
        ids, _ = records.train_and_validation(config.data.fold, config.data.val_share, config.seed)
        return ids if digest(records, ids) == self.trained.train_digest else []

    def _illumination(self, result: dict, luma: np.ndarray, *, own: bool) -> dict:
        """The curve and the twins on it; of the run's own test clips it is kept in the workdir too, with a picture."""

        def in_light(light: Relight) -> dict:
            _say(f"exposure {light.camera.exposure:g} ...")
            return illumination.point(*self._scores(self.score, light=light))

        protocol = ("records", "dataset", "fold", "split", "views", "average", "step", "num_examples")
        found = {name: result[name] for name in protocol}
        found |= {"recorded": illumination.point(result, luma), **illumination.curve(in_light), "twins": []}
        for name, score in self.twins:
            _say(f"twin {name} ...")
            clips = {"name": name, "num_examples": len(score.ids), "left_out": score.left_out}
            found["twins"].append({**clips, **illumination.point(*self._scores(score))})
        workdir = self.trained.workdir
        if own and (result["fold"], result["split"]) == (self.trained.config.data.fold, "test"):
            write_text(workdir / "illumination.json", json.dumps(found, indent=2) + "\n")
            from lift_flax.evaluate import illumination_plot  # here: only who draws loads what draws

            illumination_plot.draw(found, workdir / "illumination.png", 1 / len(self.trained.classes))
            found["picture"] = str(workdir / "illumination.png")
        else:
            _say("not kept in the workdir: these are not the run's own test clips; --out=FILE keeps it")
        return found


@dataclasses.dataclass(frozen=True)
class Scorer:
    """One split of one folder of records, to be scored by a trained run in any views and any light.

    Attributes:
      left_out: clips of the split whose class the run does not know.
    """

    trained: TrainedRun
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


def make_scorer(trained: TrainedRun, data_dir: Path | None, args: argparse.Namespace) -> Scorer:
    """Opens `data_dir`, or the run's own records.  Raises UserError where they do not fit the run."""
    folder = Path(data_dir or trained.config.data.dir)
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: give the folder of records in --data_dir, or after NAME= in --twin")
    records = open_records(str(folder))
    if trained.config.model.luminous.input == "flow" and not records.has_flow:
        raise UserError(
            f"{trained.workdir} takes optical flow and {records.dir} holds none: build it with --flow, or give others"
        )
    config = _for_scoring(trained.config, args.batch_size)
    fold = config.data.fold if args.fold is None else args.fold
    if str(fold) not in records.folds:
        raise UserError(f"{records.dir} has no fold {fold}: set --fold to one of {', '.join(records.folds)}")
    ids, labels, left_out = matching_clips(records, records.split(fold, args.split), trained)
    mesh = make_mesh(config)
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


def matching_clips(records: Records, ids: list[str], trained: TrainedRun) -> tuple[list[str], np.ndarray, int]:
    """(ids, labels of the run [N], how many were left out): the clips whose class, by name, is known, and to the run.

    Raises:
      UserError: there is none.
    """
    label_of = {name: label for label, name in enumerate(trained.classes)}
    names = {i: records.classes[records.rows[i][1]] for i in ids if records.rows[i][1] >= 0}
    known = [i for i in ids if names.get(i) in label_of]
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
