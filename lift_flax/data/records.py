"""A folder of records as `build` writes it: which clips it holds, and which of them are trained and tested on."""

import collections
import dataclasses
import math
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lift_flax.data import clip_reader
from lift_flax.errors import UserError, shown
from lift_flax.files import record_files


class IndexEntry(NamedTuple):
    """Where a clip is among the records, its label (-1 if unknown), its group and the digest of its pictures.

    Group and digest are empty if unknown; records of earlier versions have no digests.
    """

    position: int
    label: int
    group: str
    content: str = ""
    part: str = ""  # which folder it is from, where several are mixed
    seconds: float | None = None  # of its video; None in records of earlier versions


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder written by `build`: every clip once, and the splits of each fold.

    Attributes:
      dir: the folder; the first of several.
      classes: names, by label.
      folds: {"1": {"train": [id, ...], "test": [...]}}.
      index: the entry of each clip, by id.
      parts: the TFDS folders that hold the clips; several where folders are mixed.
      source: name of the data set; "folder" for the user's own videos.
      prepared: how videos became clips: "codec", "short_side", "max_frames" (None: all), "flow" (the method, or none).
      cache: decoded clips by (position, short side, with flow), for `data.cache=memory`; one for the whole run.
    """

    dir: Path
    classes: tuple[str, ...]
    folds: dict[str, dict[str, list[str]]]
    index: dict[str, IndexEntry]
    parts: tuple[clip_reader.Part, ...]
    source: str
    prepared: dict[str, str | int | None]
    cache: clip_reader.Cache = dataclasses.field(default_factory=dict, compare=False, repr=False)
    title: str = ""  # for people: the data set, or the folder of the user's own videos
    folders: tuple["Records", ...] = ()  # as each was opened, where several are mixed
    all_frames: bool = True  # whether every clip holds all frames of its video
    frames: int | None = None  # of all clips together; None: records of earlier versions do not say
    luma: float | None = None  # 0 to 255, of the median clip, in the brightest of the folders; None: not said
    flow_pixels: float | None = None  # root of the mean square of the optical flow; None: not said, or none

    @property
    def place(self) -> str:
        """What `data.dir` says of them: the folder, or several with commas."""
        return ",".join(map(str, self.dirs))

    @property
    def dirs(self) -> tuple[Path, ...]:
        """All folders; one, where none are mixed."""
        return tuple(records.dir for records in self.folders) or (self.dir,)

    @property
    def is_mixed(self) -> bool:
        """Whether they are of several folders."""
        return len(self.parts) > 1

    def of_part(self, ids: list[str], name: str) -> list[str]:
        """Those of `ids` that are from the folder called `name`."""
        return [i for i in ids if self.index[i].part == name]

    @property
    def has_flow(self) -> bool:
        """Whether optical flow is stored with every clip."""
        return self.prepared["flow"] != "none"

    def split(self, fold: int, name: str) -> list[str]:
        """Ids of one split of a fold.  Raises UserError if it is missing or empty."""
        if str(fold) not in self.folds:
            raise UserError(f"{self.lacks_fold(fold)}: set config.data.fold to one of {', '.join(self.folds)}")
        ids = self.folds[str(fold)].get(name, [])
        if not ids:
            raise UserError(
                f"{self.dir}: split '{name}' of fold {fold} is empty: build the records again with such clips"
            )
        return ids

    def lacks_fold(self, fold: int | str) -> str:
        """A phrase that names the folder without this fold; of several, the first."""
        lacking = [records.dir for records in self.folders if str(fold) not in records.folds]
        return f"{lacking[0] if lacking else self.dir} has no fold {fold}"

    def given_validation(self, fold: int) -> list[str]:
        """Ids of the validation clips that the records themselves set apart; mostly none."""
        return self.folds[str(fold)].get("val", [])

    def median_seconds(self, ids: list[str]) -> float | None:
        """How long the videos of the clips are; None where the records do not say."""
        known = [seconds for i in ids if (seconds := self.index[i].seconds)]
        return float(np.median(known)) if known else None

    def unused(self, fold: int, val_ids: list[str]) -> list[str]:
        """Ids of the clips that a fold calls "other", but for those of a group that is tested or validated on.

        Nor are those among them whose pictures are those of a clip that the fold trains, validates or tests on.
        """
        members = self.folds[str(fold)]
        held_out = {self.index[i].group for i in [*members.get("test", []), *val_ids]} - {""}
        used = [*members.get("train", []), *members.get("test", []), *val_ids]
        seen = {self.index[i].content for i in used} - {""}
        others = (i for i in members.get("other", []) if self.index[i].group not in held_out)
        return [i for i in others if self.index[i].content not in seen]

    def train_and_validation(self, fold: int, val_share: float, seed: int) -> tuple[list[str], list[str]]:
        """The ids to train on and those for validation: the records' own split `val`, else a share of the training ids.

        Records of no class have none of either.

        For a share, whole groups go to validation, with about `val_share` of the clips.  A group (a scene, an actor) is
        on one side in all its classes, and every class keeps clips for training.  A clip without a group is a group of
        its own.  Where no whole group fits into `val_share`, none goes to validation.

        Raises:
          UserError: the fold has no training clips.
        """
        if not self.classes:
            return [], []
        ids = self.split(fold, "train")
        if given := self.given_validation(fold):
            return ids, given
        groups: dict[str, list[str]] = {}
        for i in ids:
            groups.setdefault(self.index[i].group or i, []).append(i)
        left = collections.Counter(self.index[i].label for i in ids)
        held_out: set[str] = set()
        names = sorted(groups)
        for name in (names[k] for k in np.random.default_rng([seed, fold]).permutation(len(names))):
            taken = collections.Counter(self.index[i].label for i in groups[name])
            fits = len(held_out) + len(groups[name]) <= round(val_share * len(ids))
            if fits and all(left[label] > count for label, count in taken.items()):
                held_out.update(groups[name])
                left -= taken
        return [i for i in ids if i not in held_out], [i for i in ids if i in held_out]


def open_records(folder: str) -> Records:
    """Opens a folder of records, or with commas several, as `mixed` of them.

    Raises:
      UserError: it is missing, damaged or unfinished; or several do not fit together.
    """
    if not folder.strip(" ,"):
        raise UserError("config.data.dir is empty: set --config.data.dir to a folder of records (`lift-flax build`)")
    return mixed([_open_one(one) for one in folders_of(folder)])


def folders_of(place: str) -> list[str]:
    """The folders that `data.dir` names: one, or several with commas."""
    if Path(place).is_dir():  # whose own name may hold a comma
        return [place]
    return [part.strip() for part in place.split(",") if part.strip()]


def mixed(folders: list[Records]) -> Records:
    """Several folders as one: classes matched by name, ids with the folder's name before them, splits together.

    It has the folds that all have, and flow where all have the same, of frames of one size.  Videos are prepared as
    those of the first.

    Raises:
      UserError: two folders have one name, no fold is in all of them, or only some have validation clips.
    """
    first, names = folders[0], [records.dir.name for records in folders]
    if len(folders) == 1:
        return first
    if twice := [name for name in names if names.count(name) > 1]:
        same = len({records.dir.resolve() for records in folders if records.dir.name == twice[0]}) == 1
        what = f"{twice[0]} twice: leave one out" if same else f"two folders called {twice[0]}: rename one of them"
        raise UserError(f"config.data.dir names {what}")
    if commas := [records.dir for records in folders if "," in str(records.dir)]:
        raise UserError(f"the path {commas[0]} has a comma, and commas separate folders: rename it, or link to it")
    classes = tuple(dict.fromkeys(name for records in folders for name in records.classes))
    folds = {fold: {} for fold in first.folds if all(fold in records.folds for records in folders)}
    if not folds:
        raise UserError(f"config.data.dir={','.join(names)}: no fold is in all of these folders")
    for fold in folds:
        if 0 < (count := sum(bool(records.given_validation(int(fold))) for records in folders)) < len(folders):
            raise UserError(
                f"config.data.dir={','.join(names)}: {count} of {len(folders)} folders have validation clips of their "
                f"own in fold {fold}: give all of them some, or none"
            )
    parts, index = [], {}
    for records, name in zip(folders, names, strict=True):
        labels = tuple(classes.index(own) for own in records.classes)
        part = clip_reader.Part(records.parts[0].folder, len(index), name, labels)
        parts.append(part)
        for own, entry in records.index.items():
            moved = (part.first + entry.position, part.label(entry.label))
            index[part.clip_id(own)] = IndexEntry(*moved, entry.group, entry.content, name, entry.seconds)
        for fold in folds:
            for split, ids in records.folds[fold].items():
                folds[fold].setdefault(split, []).extend(map(part.clip_id, ids))
    flow = {(records.prepared["flow"], records.prepared["short_side"]) for records in folders}
    prepared = {**first.prepared, "flow": first.prepared["flow"] if len(flow) == 1 else "none"}
    prepared["others"] = "; ".join(str(records.prepared) for records in folders[1:])  # to compare runs by
    title = " + ".join(dict.fromkeys(records.title for records in folders))
    sources = {records.source for records in folders}
    return Records(
        first.dir, classes, folds, index, tuple(parts), sources.pop() if len(sources) == 1 else "folder",
        prepared, title=title, folders=tuple(folders),
        all_frames=all(records.all_frames for records in folders),
        frames=None if None in (counts := [one.frames for one in folders]) else sum(filter(None, counts)),
        luma=None if None in (lumas := [one.luma for one in folders]) else max(filter(None, lumas), default=0.0),
        flow_pixels=_mean_flow(folders),
    )  # fmt: skip


def _open_one(folder: str) -> Records:
    path = Path(folder).absolute()
    if not path.is_dir():
        raise UserError(f"{path} does not exist: make records with `lift-flax build`, or correct config.data.dir")
    if not (path / "prep_report.json").is_file():  # written last
        raise UserError(
            f"{path} holds no finished records: run `lift-flax build` to its end; or, if these are videos, make "
            f"records of them: `lift-flax build folder --videos {shlex.quote(str(path))} --out RECORDS`"
        )
    report, folds = record_files.read_report(path), record_files.read_folds(path)
    index = {
        c["id"]: IndexEntry(i, c["label"], c["group"], c.get("content", ""), seconds=c.get("seconds"))
        for i, c in enumerate(folds["clips"])
    }
    settings = report["settings"]
    prepared = {name: settings[name] for name in ("codec", "max_frames", "flow")} | {"short_side": settings["size"]}
    if settings["codec"] == "original":
        prepared["max_frames"] = None
    classes = tuple(folds["classes"])
    source = report["source"]
    title = shown(Path(settings["videos"]).name) if source == "folder" else source
    parts = (clip_reader.Part(path / report["records"]),)
    return Records(
        path,
        classes,
        folds["folds"],
        index,
        parts,
        source,
        prepared,
        title=title,
        all_frames=report.get("all_frames", prepared["max_frames"] is None),
        frames=report.get("frames"),
        luma=report.get("mean_luma", {}).get("percentiles", {}).get("50"),
        flow_pixels=report.get("flow", {}).get("rms_pixels"),
    )


def _mean_flow(folders: list[Records]) -> float | None:
    """How strong the flow of several folders is, each counted by its frames; None where one does not say."""
    known = [(records.frames, records.flow_pixels) for records in folders if records.frames and records.flow_pixels]
    if len(known) < len(folders):
        return None
    return math.sqrt(sum(frames * pixels**2 for frames, pixels in known) / sum(frames for frames, _ in known))
