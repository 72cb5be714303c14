"""Reads ARID's lists: the official `ARID_split{1,2,3}_{train,test,other}.txt`, or those of UG2+ or DarkLight.

A line of an official list is `number <tab> class id <tab> path`.  Releases differ in the extension of the videos, so
paths are matched without it.  Version 1.5 names its lists `split{0,1}_{train,test,other}.txt`.
"""

import re
from pathlib import Path, PurePosixPath

from lift_flax.errors import UserError

from . import arid_rows, arid_ug2, darklight, video_list
from .arid_rows import ClassTable, Row
from .video_list import VideoList

COUNTS = arid_rows.COUNTS
COUNTS_15 = {"0": (3350, 2011), "1": (3792, 1768)}  # of train and test, version 1.5
_FILE = re.compile(r"(ARID_)?split(\d)_(train|test|others?)\.txt")


def read(lists: Path, videos: Path) -> VideoList:
    """Reads every fold of the lists in a folder, of whichever of the three kinds.

    Args:
      lists: folder of the lists, and of the mapping table if there is one.
      videos: folder of the listed paths.

    Returns:
      The clips that any list names.  Classes that no list uses are left out, the rest keep the order of their ids.

    Raises:
      UserError: a list or a video is missing, lists are of two kinds, or they contradict each other or the table.
    """
    names = sorted(path.name for path in lists.iterdir()) if lists.is_dir() else []
    readers = {_read_official: _FILE, arid_ug2.read: arid_ug2.FILE, darklight.read: darklight.FILE}
    first_of = {
        reader: first
        for reader, pattern in readers.items()
        if (first := next((name for name in names if pattern.fullmatch(name)), None))
    }
    if not first_of:
        raise UserError(
            f"no ARID_split1_train.txt in {lists}, nor a *_train_pub.csv of UG2+, nor DarkLight's train_split1.txt; "
            "give the folder of the lists"
        )
    if len(first_of) > 1:
        first, second, *_ = first_of.values()
        raise UserError(
            f"{lists} holds lists of two kinds, {first} and {second}; keep those of one kind in a folder of their own"
        )
    (reader,) = first_of
    return reader(lists, videos)


def _read_official(lists: Path, videos: Path) -> VideoList:
    """Reads every fold that has a train list."""
    table = arid_rows.read_classes(lists)
    files: dict[str, dict[str, Path]] = {}  # fold -> split -> list
    official: dict[str, tuple[int, int]] = {}
    for path in sorted(lists.iterdir()):
        if match := _FILE.fullmatch(path.name):
            fold, split = match[2], match[3].removesuffix("s")
            if other := files.setdefault(fold, {}).get(split):
                raise UserError(
                    f"{other.name} and {path.name} in {lists} are both the {split} list of fold {fold}; keep one"
                )
            files[fold][split] = path
            known = COUNTS if match[1] else COUNTS_15
            if fold in known:
                official[fold] = known[fold]
    folds: dict[str, dict[str, list[Row]]] = {}
    for fold, paths in sorted(files.items()):
        if "train" not in paths:
            continue
        if "test" not in paths:
            name = paths["train"].name
            raise UserError(f"{name} has no {name.replace('train', 'test')} beside it in {lists}; add it")
        order = [split for split in ("train", "test", "other") if split in paths]
        folds[fold] = {split: _read_list(paths[split], table) for split in order}
    if not folds:
        raise UserError(f"no ARID_split1_train.txt (nor of another fold) in {lists}; give the folder of the lists")
    return arid_rows.build(table, folds, lists, videos, official=official)


def _read_list(path: Path, table: ClassTable) -> list[Row]:
    rows = []
    for number, line in video_list.numbered_lines(path):
        parts = line.split("\t")
        if len(parts) != 3 or not parts[1].strip().isdecimal() or not PurePosixPath(parts[2].strip()).name:
            raise UserError(f"{path}, line {number}: expected 'number <tab> class id <tab> path', got {line!r}")
        rows.append(table.row(parts[2].strip(), int(parts[1]), path, number))
    return rows
