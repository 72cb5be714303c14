"""The result of every reader: the clips of a data set, and the splits of its folds."""

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from lift_flax.errors import UserError, shown, system_reason
from lift_flax.video import paths
from lift_flax.video.paths import VIDEO_SUFFIXES

_NAMED = 8  # names in a message
UNLABELLED = -1  # label of a clip whose class is in no list
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are not UTF-8
_LONGEST_NAME = 200  # characters of the name of a class or group


@dataclasses.dataclass(frozen=True)
class SourceClip:
    """One video file.

    Attributes:
      path: of the file.
      label: index into `VideoList.classes`; -1 if unknown, for a clip in no train or test split.
      id: unique name in the data set: the path below its root without the extension, with forward slashes.
      group: scene or actor that must not be on both sides of a split; empty if unknown.
    """

    path: Path
    label: int
    id: str
    group: str


@dataclasses.dataclass(frozen=True)
class VideoList:
    """A data set before transcoding.

    Attributes:
      classes: class names; a clip's label is a position in it.  None, where of no clip the class is known.
      clips: every clip once, however many folds use it.
      folds: fold name -> split name ("train", "test", perhaps "val" and "other") -> ids of clips.
      official: fold name -> numbers of train and test clips in the official lists, if known.
      tests_on: fold name -> the groups that it tests on, or its name in a list, where folds were made of them.
    """

    classes: list[str]
    clips: list[SourceClip]
    folds: dict[str, dict[str, list[str]]]
    official: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    tests_on: dict[str, str] = dataclasses.field(default_factory=dict)

    def without(self, ids: Collection[str]) -> "VideoList":
        """Returns this data set without the clips in `ids`."""
        clips = [clip for clip in self.clips if clip.id not in ids]
        folds = {
            fold: {split: [id for id in members if id not in ids] for split, members in splits.items()}
            for fold, splits in self.folds.items()
        }
        return dataclasses.replace(self, clips=clips, folds=folds)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Number of clips by fold, split and class name, without clips of unknown class."""
        label_of = {clip.id: clip.label for clip in self.clips}
        result = {}
        for fold, splits in self.folds.items():
            result[fold] = {}
            for split, members in splits.items():
                tally = collections.Counter(label_of[id] for id in members)
                result[fold][split] = {name: tally[label] for label, name in enumerate(self.classes)}
        return result

    def check(self) -> None:
        """Checks that a network can be trained on these clips.

        Raises:
          UserError: an id or a path is repeated, a class has no training clip, a fold has no test clip though classes
            are known, or a group is on both sides of a split.
        """
        seen: dict[str, Path] = {}
        for clip in self.clips:
            if unfit(clip.id):
                raise UserError(
                    f"'{shown(clip.path)}' has a line break or bytes that are not UTF-8 in its name; rename it"
                )
            if seen.get(clip.id) == clip.path:
                raise UserError(f"{clip.path} is listed twice: keep one of the lines")
            if clip.id in seen:
                raise UserError(
                    f"two files share the id {clip.id}: {seen[clip.id]} and {clip.path}; rename one of them"
                )
            seen[clip.id] = clip.path
        for fold, splits in self.counts().items():
            for name, count in splits["train"].items():
                if count == 0:
                    raise UserError(
                        f"class {name} has no training clip in fold {fold}; add some or leave the class out"
                    )
            if self.classes and not any(splits["test"].values()):
                raise UserError(f"fold {fold} has no test clip; add some, or list them")
        self._check_groups()

    def _check_groups(self) -> None:
        """Raises UserError if a group is in two of the splits train, val and test of a fold."""
        group_of = {clip.id: clip.group for clip in self.clips}
        for fold, splits in self.folds.items():
            side_of: dict[str, tuple[str, str]] = {}
            for side, verb in (("train", "trained on"), ("val", "validated on"), ("test", "tested")):
                for id in splits.get(side, []):
                    other, first = side_of.setdefault(group_of[id], (verb, id))
                    if group_of[id] and other != verb:
                        raise UserError(
                            f"group {group_of[id]} is on both sides of fold {fold} ({first} is {other}, {id} {verb}); "
                            "correct the split or the groups (--group-regex, or the column group)"
                        )


def unfit(name: str) -> bool:
    """Whether no record and no line of a list can hold the name of a file: it has a line break or is not UTF-8."""
    return _UNFIT.search(name) is not None


def blank(name: str) -> bool:
    """Whether nothing of a name is seen: it is empty, or of blanks and signs without width alone."""
    return not any(letter.isprintable() and not letter.isspace() for letter in name)


def fit_name(name: str, what: str) -> str:
    """The name of a class or a group as records hold it: its letters composed, without blanks around it.

    Args:
      name: as a folder or a list has it.
      what: it is and where, for messages.

    Raises:
      UserError: it consists of blanks, has a line break or bytes that are not UTF-8, or is too long to be read.
    """
    fit = unicodedata.normalize("NFC", name).strip()
    if shown(fit) != fit:
        raise UserError(f"{what} '{shown(fit)}' has a line break, a tab or bytes that are not UTF-8; rename it")
    if name and blank(fit):
        raise UserError(f"{what} '{shown(name)}' has a name of blanks alone; rename it")
    if len(fit) > _LONGEST_NAME:
        raise UserError(f"{what} {fit[:40]}… has {len(fit):,} characters; shorten it to {_LONGEST_NAME}")
    return fit


def some_of(names: Collection[str]) -> str:
    """Names for a message, in the order of their numbers: all of a few, else the first and how many more there are."""
    ordered = [shown(name) for name in sorted(names, key=paths.by_number)]
    return ", ".join(ordered[:_NAMED]) + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")


def find_videos(root: Path) -> list[Path]:
    """Every video file below `root`, sorted.  Follows links, skips hidden names.

    Raises:
      UserError: `root` is not a folder, or holds no video.
    """
    if not root.is_dir():
        if reason := paths.why_no_file(str(root)):
            raise UserError(f"{root} is {reason}")
        raise UserError(f"no folder {root}; give the folder that holds the videos")
    videos, others = paths.videos_below(
        root, lambda error: print(f"left out: {shown(str(error.filename))} cannot be read: {system_reason(error)}")
    )
    if not videos:
        raise UserError(f"no video in {root}; files ending in {' '.join(sorted(VIDEO_SUFFIXES))} count as video")
    if others:
        endings = ", ".join(f"{count:,} {ending or 'without ending'}" for ending, count in sorted(others.items()))
        print(f"left out of {root}: files that are no videos by their ending ({endings})")
    return videos


class FileNames:
    """Finds files by names that are written otherwise than on the disk: letters composed or not, backslashes."""

    def __init__(self):
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, root: Path, name: str) -> Path | None:
        """The file `name` below `root`; None if there is none."""
        for written in dict.fromkeys((name, name.replace("\\", "/"))):
            path = root
            for part in PurePosixPath(written).parts:
                path /= part if os.path.exists(path / part) else self._spelled(path, part)
            if os.path.isfile(path):  # which knows names that are too long as well
                return path
        return None

    def _spelled(self, folder: Path, name: str) -> str:
        if folder not in self._listed:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            self._listed[folder] = {unicodedata.normalize("NFC", found): found for found in names}
        return self._listed[folder].get(unicodedata.normalize("NFC", name), name)


def below(path: Path, root: Path) -> Path:
    """A path below `root`, however both are written: relative or absolute, or through a link above or at `root`.

    Links inside of `root` stay as they are.  The path of a file elsewhere is returned as it is.
    """
    if path.is_relative_to(root):
        return path.relative_to(root)
    return next((path.relative_to(parent) for parent in path.parents if _same_folder(parent, root)), path)


def _same_folder(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def clip_id(path: Path, root: Path) -> str:
    """`path` below `root`, without its extension, with forward slashes and its letters composed."""
    return unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix())


def require_files(missing: Iterable[str], total: int, listed_in: Path, root: Path) -> None:
    """Raises UserError if `missing` is not empty: videos of a list that are not in `root`, out of `total`."""
    missing = list(missing)
    if missing:
        raise UserError(
            f"{len(missing)} of {total} videos named in {listed_in} are not in {root}, "
            f"the first is {missing[0]}; check the folder of videos"
        )


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines of an official list, without blank ones; Windows line ends are accepted.

    Raises:
      UserError: the file is missing, or is not text.
    """
    if not path.is_file():
        raise UserError(f"no {path.name} in {path.parent}; give the folder of the official lists")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file; give the official list") from error
    # Not splitlines(): names may hold characters that it breaks lines at.
    lines = unicodedata.normalize("NFC", text).split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def note_counts(videos: VideoList) -> None:
    """Prints the folds whose numbers of clips differ from the official lists."""
    for fold, splits in videos.folds.items():
        counts, known = (len(splits["train"]), len(splits["test"])), videos.official.get(fold)
        if known is not None and counts != known:
            names = " and ".join(f"{n:,} {split}" for n, split in zip(counts, ("train", "test"), strict=True))
            print(f"fold {fold} lists {names} clips; the official one has {' and '.join(f'{n:,}' for n in known)}")
