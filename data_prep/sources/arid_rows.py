"""From rows of ARID's lists, in any of their formats, to a `VideoList`: class names, files on disk, groups.

Official splits keep groups apart, and a group belongs to one class: `Jump/Jump_11_1` is clip 1 of group 11 of Jump,
which is not related to group 11 of Run.
"""

import dataclasses
import re
from pathlib import Path, PurePosixPath

from lift_flax.errors import UserError

from . import video_list
from .video_list import UNLABELLED, SourceClip, VideoList

CLASSES = ("Drink", "Jump", "Pick", "Pour", "Push", "Run", "Sit", "Stand", "Turn", "Walk", "Wave")
COUNTS = {"1": (2288, 823), "2": (2252, 859), "3": (2259, 852)}  # of train and test, version 1.0
UG2_COUNTS = {"1": (1837, 1289)}
_GROUPED_NAME = re.compile(r"(.+_\d+)_\d+")
# Folders of the videos of one list in various releases, below the folder of videos.
_FOLDERS = {
    "train": ("train", "train_data"),
    "test": ("test", "test_data"),
    "validation": ("validate", "val", "validation"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a list.

    Attributes:
      name: the video's path without its extension, with forward slashes.
      class_id: a key of the class table; -1 if the list names no class.
      file: the list.
    """

    name: str
    class_id: int
    file: Path


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """Class id -> class name, and the source of these names for messages."""

    names: dict[int, str]
    source: str

    def row(self, video: str, class_id: int, file: Path, number: int) -> Row:
        """The row of a line.  Raises UserError if the table lacks the id, or the folder is of another class."""
        if class_id not in self.names:
            raise UserError(f"{file}, line {number}: class id {class_id} is not in {self.source}")
        folder = PurePosixPath(video).parts[0]
        if folder in self.names.values() and folder != self.names[class_id]:
            name = self.names[class_id]
            raise UserError(f"{file}, line {number}: {video} has class {class_id}, which is {name} in {self.source}")
        return Row(without_suffix(video), class_id, file)


def read_classes(lists: Path) -> ClassTable:
    """Reads `mapping_table.txt` (`mapping_table_t1.txt` in UG2+); without one, the official eleven classes.

    Raises:
      UserError: the table is empty, or a line is not `id <tab> name` or is repeated.
    """
    path = next((p for p in (lists / "mapping_table.txt", lists / "mapping_table_t1.txt") if p.is_file()), None)
    if path is None:
        return ClassTable(dict(enumerate(CLASSES)), f"ARID's classes 0 to {len(CLASSES) - 1}")
    names: dict[int, str] = {}
    for number, line in video_list.numbered_lines(path):
        parts = line.split("\t")
        if len(parts) != 2 or not parts[0].strip().isdecimal():
            raise UserError(f"{path}, line {number}: expected 'id <tab> name', got {line!r}")
        class_id, name = int(parts[0]), parts[1].strip()
        if class_id in names or name in names.values():
            raise UserError(f"{path}, line {number}: class {class_id} {name} is named twice")
        names[class_id] = name
    if not names:
        raise UserError(f"{path} is empty; it should give an id and a name for each class")
    return ClassTable(names, path.name)


def without_suffix(video: str) -> str:
    """`Run/Run_1_1.avi` -> `Run/Run_1_1`; a name without the suffix of a video stays as it is."""
    path = PurePosixPath(video)
    return (path.with_suffix("") if path.suffix.lower() in video_list.VIDEO_SUFFIXES else path).as_posix()


def build(
    table: ClassTable,
    folds: dict[str, dict[str, list[Row]]],
    lists: Path,
    videos: Path,
    *,
    official: dict[str, tuple[int, int]],
    by_list: bool = False,
) -> VideoList:
    """Joins rows with the files on disk.

    Args:
      table: the classes.
      folds: fold -> list ("train", "test", "other", "validation") -> its rows.  Validation rows end up in the split
        "other".
      lists: folder of the lists, for messages.
      videos: folder of the named videos.
      official: as in `VideoList`.
      by_list: whether videos may also be in a folder of their list in `videos`, such as `test`.

    Returns:
      The clips that any list names.  Classes that no row uses are left out, the rest keep the order of their ids.

    Raises:
      UserError: a video is missing or exists twice, or lists contradict each other.
    """
    files: dict[str, list[Path]] = {}
    for path in video_list.find_videos(videos):
        files.setdefault(video_list.clip_id(path, videos), []).append(path)
    rows, members = _collect(_locate(folds, files, lists, videos, by_list))
    used = sorted({row.class_id for row in rows.values()} - {UNLABELLED})
    labels = {class_id: label for label, class_id in enumerate(used)} | {UNLABELLED: UNLABELLED}
    clips = [SourceClip(files[id][0], labels[row.class_id], id, _group(id)) for id, row in rows.items()]
    result = VideoList([table.names[class_id] for class_id in used], clips, members, official)
    result.check()
    return result


def _collect(
    located: dict[str, dict[str, list[tuple[str, Row]]]],
) -> tuple[dict[str, Row], dict[str, dict[str, list[str]]]]:
    """(Id -> the first row of that clip, in order of appearance; fold -> split -> ids)."""
    rows: dict[str, Row] = {}
    members: dict[str, dict[str, list[str]]] = {}
    for fold, splits in located.items():
        members[fold] = {}
        in_fold: dict[str, Path] = {}
        for split, rows_of_split in splits.items():
            into = members[fold].setdefault("other" if split == "validation" else split, [])
            for id, row in rows_of_split:
                if id in in_fold:
                    raise UserError(
                        f"{id} is both in {in_fold[id].name} and again in {row.file.name}; keep one of the lines"
                    )
                first = rows.setdefault(id, row)
                if first.class_id != row.class_id:
                    a, b = f"{first.class_id} in {first.file.name}", f"{row.class_id} in {row.file.name}"
                    raise UserError(f"{id} has class {a} but {b}")
                in_fold[id] = row.file
                into.append(id)
    return rows, members


def _locate(
    folds: dict[str, dict[str, list[Row]]], files: dict[str, list[Path]], lists: Path, videos: Path, by_list: bool
) -> dict[str, dict[str, list[tuple[str, Row]]]]:
    """Finds the id (the path below `videos`) of every row, in the same folds and lists."""
    ids: dict[tuple[tuple[str, ...], str], list[str]] = {}  # (folders, name) -> possible ids
    places: dict[tuple[str, str], tuple[str, ...]] = {}  # (fold, list) -> folders, "" for `videos` itself
    for fold, splits in folds.items():
        for split, rows in splits.items():
            # A folder named after one list holds no videos of another list.
            owners = [owner for owner in _FOLDERS if by_list and (owner == split or owner not in splits)]
            places[fold, split] = ("", *(f"{folder}/" for owner in owners for folder in _FOLDERS[owner]))
            for row in rows:
                key = places[fold, split], row.name
                if key not in ids:
                    ids[key] = [folder + row.name for folder in key[0] if folder + row.name in files]
    missing = dict.fromkeys(name for (_, name), possible in ids.items() if not possible)
    video_list.require_files(missing, len({name for _, name in ids}), lists, videos)
    for possible in ids.values():
        paths = [path for id in possible for path in files[id]]
        if len(paths) > 1:
            raise UserError(f"{possible[0]} exists twice: {paths[0]} and {paths[1]}; keep one of them")
    return {
        fold: {split: [(ids[places[fold, split], row.name][0], row) for row in rows] for split, rows in splits.items()}
        for fold, splits in folds.items()
    }


def _group(id: str) -> str:
    """`Jump/Jump_11_1` -> `Jump_11`; an anonymous name such as `validate/24` has no group."""
    match = _GROUPED_NAME.fullmatch(PurePosixPath(id).name)
    return match[1] if match else ""
