"""The scores of a trained run on one split of its own records, or of others."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Int

from lift_flax.config import Config, Mesh
from lift_flax.data.fitting import check_flow, check_relit
from lift_flax.data.records import Records, folders_of, open_records
from lift_flax.data.windows import check_windows, usual_average, usual_views
from lift_flax.distributed.mesh import make_mesh
from lift_flax.errors import UserError
from lift_flax.evaluate import illumination
from lift_flax.evaluate.calibration import with_temperatures
from lift_flax.evaluate.pooling import Answers
from lift_flax.evaluate.scoring import (
    ScoreClips,
    SplitLogits,
    compare,
    groups_of,
    judge_networks,
    judge_parts,
)
from lift_flax.runs.config_file import deciding_fields
from lift_flax.runs.trained import TrainedRun
from lift_flax.runs.workdir import is_of
from lift_flax.video.camera import Relight
from lift_flax.video.sampling import view_grid

_MOST_VIEWS = 100
SPLITS, AVERAGES = ("test", "val", "train"), ("logits", "softmax")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which clips are scored, and how.

    Attributes:
      data_dir: records; None takes those of the run.
      split: test or train, of the fold.
      fold: official fold; None takes that of the run.
      views: clips x crops of each video, for example "3x3"; None takes those that training scored by.
      average: what is averaged over the views: logits or softmax; None takes what training took.
      batch_size: views that are computed together; None takes 8 for each device.
      illumination: also score the clips in other light, as a curve over brightness.
      twins: (name, records) of the same motions in other light, marked on that curve.

    Raises:
      UserError: a value is none of these.
    """

    data_dir: str | Path | None = None
    split: str = "test"
    fold: int | None = None
    views: str | None = None
    average: str | None = None
    batch_size: int | None = None
    illumination: bool = False
    twins: tuple[tuple[str, str | Path], ...] = ()

    def __post_init__(self) -> None:
        for name, value, known in (("split", self.split, SPLITS), ("average", self.average, (None, *AVERAGES))):
            if value not in known:
                raise UserError(f"{name}={value!r} is unknown: choose {' or '.join(filter(None, known))}")
        if self.views is not None:
            parse_views(self.views)
        if self.twins and not self.illumination:
            raise UserError("a twin is a mark on the curve over brightness: ask for illumination with it")


def parse_views(text: str) -> tuple[int, int]:
    """Reads "10x3" as (temporal clips, spatial crops).  Raises UserError for anything else."""
    match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if not match or not 1 <= int(match[1]) * int(match[2]) <= _MOST_VIEWS:
        raise UserError(f"views={text}: write CLIPSxCROPS, for example 10x3, at most {_MOST_VIEWS} views in all")
    return int(match[1]), int(match[2])


@dataclasses.dataclass(frozen=True)
class _Split:
    """The clips of one split that a run can score.

    Attributes:
      labels: of the run's classes.
      left_out: how many clips have a class that the run does not know.
    """

    records: Records
    fold: int
    ids: list[str]
    labels: Int[np.ndarray, "N"]
    left_out: int
    score_clips: ScoreClips


class Evaluation:
    """One run on one split.  Opens everything that it will read, so that mistakes show before anything is scored.

    Args:
      say: is called with a line of text as the work goes on.

    Attributes:
      answers: what the clips scored, after `run`.

    Raises:
      UserError: the records, or those of a twin, do not fit the run, or have no such split.
    """

    def __init__(self, trained: TrainedRun, protocol: Protocol, say: Callable[[str], None] = lambda line: None):
        self._trained, self._protocol, self._say = trained, protocol, say
        self._config = _for_scoring(trained.config, protocol.batch_size)
        self._mesh = make_mesh(self._config)
        self._average = protocol.average or usual_average(trained.config)
        self._named_views = protocol.views or usual_views(trained.config)
        self._views = view_grid(*parse_views(self._named_views))
        self._split = self._open(protocol.data_dir)
        if protocol.illumination:
            check_relit(self._split.records, trained.config)
        names = [part.name for part in self._split.records.parts] + [name for name, _ in protocol.twins]
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise UserError(f"twin {twice[0]}: the curve has marks of that name already: give it another one")
        self._twins = [(name, self._open(folder)) for name, folder in protocol.twins]

    def run(self) -> dict:
        """Scores both networks; returns the protocol and the scores, and the curve if `illumination` is set.

        docs/use.md explains every field.
        """
        split, trained, protocol = self._split, self._trained, self._protocol
        learnt = self._learnt()
        self._say(f"{trained.workdir}: scoring {len(split.ids)} clips, {len(self._views)} views of each ...")
        scored = self._score(split)
        named = [split.records.index[i].group for i in split.ids]
        self.answers = Answers(
            split.ids, named, scored, deciding_fields(trained.config), [*map(int, split.records.folds)]
        )
        result = {
            "workdir": str(trained.workdir),
            "records": split.records.place,
            "dataset": trained.config.dataset if learnt else split.records.source,
            "fold": split.fold,
            "split": protocol.split,
            "views": self._named_views,
            "average": self._average,
            "frames": trained.config.data.num_frames,
            "size": trained.config.data.size,
            "step": trained.step,
            "num_examples": len(split.ids),
            "left_out": split.left_out,
            "trained_on": len(set(learnt) & set(split.ids)),
            "classes": list(trained.classes),
            **self._judge(split, scored),
            **compare(scored, groups_of(split.records, split.ids)),
            "parts": judge_parts(scored, split.records, split.ids, trained.classes),
        }
        if protocol.illumination:
            result["illumination"] = self._illumination(result, scored, own=bool(learnt) and not self._is_part())
        return result

    def _open(self, data_dir: str | Path | None) -> _Split:
        trained = self._trained
        place = str(data_dir or trained.config.data.dir)
        if not place:
            raise UserError(
                f"{trained.workdir} is a package of a run, which does not say where its records are: give them as "
                "--data-dir (in Python data_dir)"
            )
        if missing := [folder for folder in folders_of(place) if not Path(folder).is_dir()]:
            raise UserError(
                f"{missing[0]} does not exist: give a folder of records, after data_dir or the name of a twin"
            )
        records = open_records(place)
        check_flow(records, trained.config, "give other records")
        check_windows(records, trained.config, "give other records")
        fold = trained.config.data.fold if self._protocol.fold is None else self._protocol.fold
        if str(fold) not in records.folds:
            raise UserError(f"{records.dir} has no fold {fold}: set fold to one of {', '.join(records.folds)}")
        ids, labels, left_out = matching_clips(records, records.split(fold, self._protocol.split), trained)
        return _Split(
            records, fold, ids, labels, left_out, ScoreClips(trained.outputs, self._config, records, self._mesh)
        )

    def _score(self, split: _Split, light: Relight | None = None) -> SplitLogits:
        trained = self._trained
        with jax.set_mesh(self._mesh):
            scored = split.score_clips(
                trained.params,
                trained.batch_stats,
                split.ids,
                labels=split.labels,
                views=self._views,
                average=self._average,
                light=light,
            )
        return with_temperatures(scored, trained.calibrated)

    def _judge(self, split: _Split, scored: SplitLogits) -> dict:
        return judge_networks(scored, groups_of(split.records, split.ids), self._trained.classes)

    def _learnt(self) -> list[str]:
        """Returns the ids of the clips that the run was trained on; none if the records are not its own."""
        config, records = self._trained.config, self._split.records
        if self._is_part():
            return self._learnt_of_part()
        if not records.folds.get(str(config.data.fold), {}).get("train"):
            return []
        ids, _ = records.train_and_validation(config.data.fold, config.data.val_share, config.seed)
        return ids if is_of(self._trained.train_digest, records, ids) else []

    def _is_part(self) -> bool:
        """Whether the run has several folders, and one is scored."""
        return len(folders_of(self._trained.config.data.dir)) > 1 and not self._split.records.is_mixed

    def _learnt_of_part(self) -> list[str]:
        """Returns the same for records that are one of several folders of the run's."""
        config, records = self._trained.config, self._split.records
        try:
            whole = open_records(config.data.dir)
        except UserError:  # the run's other folders are not here
            return []
        ids, _ = whole.train_and_validation(config.data.fold, config.data.val_share, config.seed)
        if not is_of(self._trained.train_digest, whole, ids):
            return []
        pictures = {whole.index[i].content for i in ids} - {""}
        if pictures:
            return [i for i, entry in records.index.items() if entry.content in pictures]
        names = {folder: part.name for folder, part in zip(whole.dirs, whole.parts, strict=True)}
        name = names.get(records.dir, "")  # records of earlier versions are known by their place
        return [i.removeprefix(f"{name}:") for i in whole.of_part(ids, name)]

    def _illumination(self, result: dict, scored: SplitLogits, *, own: bool) -> dict:
        """Computes the curve and its twins; for the run's own test clips it is kept in the workdir, with a picture."""
        split, trained = self._split, self._trained

        label_of = dict(zip(split.ids, split.labels, strict=True))

        def score(ids: list[str], light: Relight) -> SplitLogits:
            self._say(f"exposure {light.camera.exposure:g} ...")
            return self._score(dataclasses.replace(split, ids=ids, labels=np.array([label_of[i] for i in ids])), light)

        protocol = ("records", "dataset", "fold", "split", "views", "average", "step")
        curve = {name: result[name] for name in protocol}
        curve |= illumination.measure(scored, split.records, split.ids, trained.classes, score)
        for name, twin in self._twins:
            self._say(f"twin {name} ...")
            clips = {"name": name, "num_examples": len(twin.ids), "left_out": twin.left_out}
            found = self._score(twin)
            curve["twins"].append({**clips, **illumination.point(self._judge(twin, found), found["luma"])})
        kept = own and not trained.packed
        if kept and (result["fold"], result["split"]) == (trained.config.data.fold, "test"):
            illumination.keep(curve, trained.workdir)
            curve["picture"] = str(illumination.draw(curve, trained.workdir))
        else:
            why = "a package is never changed" if trained.packed else "these are not the run's own test clips"
            self._say(f"not kept in the workdir: {why}; --out=FILE keeps it")
        return curve


def _for_scoring(config: Config, batch_size: int | None) -> Config:
    """Changes a run's config for scoring: all devices of this machine, and no cache, as every view is read once."""
    batch = 8 * jax.device_count() if batch_size is None else batch_size
    if batch < 1 or batch % jax.device_count():
        raise UserError(f"batch_size={batch}: use a multiple of {jax.device_count()}, the devices of this machine")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, cache="none"),
        train=dataclasses.replace(config.train, batch_size=batch, accumulate=1),
        mesh=Mesh(data=-1, fsdp=1, heartbeat_seconds=config.mesh.heartbeat_seconds),
    )


def matching_clips(
    records: Records, ids: list[str], trained: TrainedRun
) -> tuple[list[str], Int[np.ndarray, "N"], int]:
    """Keeps the clips whose class the run knows by name.

    Returns:
      (ids, their labels in the run [N], how many clips were left out).
    Raises:
      UserError: the run knows none of the classes.
    """
    label_of = [trained.label_of(name) for name in records.classes]  # by the label in the records
    found = {i: label_of[records.index[i].label] for i in ids if records.index[i].label >= 0}
    known = {i: label for i, label in found.items() if label is not None}
    if not known:
        raise UserError(
            f"{records.dir} and {trained.workdir} have no class in common: the records have "
            f"{', '.join(records.classes[:5])} ..., the run {', '.join(trained.classes[:5])} ...; give other records"
        )
    return list(known), np.array(list(known.values())), len(ids) - len(known)
