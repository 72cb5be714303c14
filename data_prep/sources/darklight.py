"""Reads DarkLight's lists of ARID: `train_split1.txt` and `val_split1.txt` (or `test_split1.txt`).

A line is `Class/video frames class_id`, the video without its extension.  `train_split1.txt` is the list of UG2+ with
six classes, whose test videos have anonymous names.  `train_rgb_split{1,2,3}.txt` are the folds of version 1.0.
"""

import re
from pathlib import Path, PurePosixPath

from lift_flax.errors import UserError

from . import arid_rows, video_list
from .arid_rows import ClassTable, Row
from .video_list import VideoList

FILE = re.compile(r"(train|test|val)(_rgb)?_split(\d)\.txt")
COUNTS = arid_rows.UG2_COUNTS


def read(lists: Path, videos: Path) -> VideoList:
    """Reads every fold.

    Args:
      lists: folder of the lists, and of the mapping table if there is one.
      videos: folder of the videos, or of folders `train` and `test` (`train_data`, `test_data`, `val`).

    Raises:
      UserError: a list or a video is missing, or a list contradicts itself or the class table.
    """
    files: dict[str, dict[str, Path]] = {}  # fold -> split -> list
    official: dict[str, tuple[int, int]] = {}
    for path in sorted(lists.iterdir()):
        if match := FILE.fullmatch(path.name):
            fold, split = match[3], "train" if match[1] == "train" else "test"
            if other := files.setdefault(fold, {}).get(split):
                raise UserError(
                    f"{other.name} and {path.name} in {lists} are both the {split} list of fold {fold}; keep one"
                )
            files[fold][split] = path
            known = arid_rows.COUNTS if match[2] else COUNTS
            if fold in known:
                official[fold] = known[fold]
    table = arid_rows.read_classes(lists)
    folds: dict[str, dict[str, list[Row]]] = {}
    for fold, paths in sorted(files.items()):
        for split, prefix in (("train", "train"), ("test", "val")):
            if split not in paths:
                other = next(iter(paths.values())).name
                name = re.sub("^(train|test|val)", prefix, other)
                raise UserError(f"{other} has no {name} beside it in {lists}; add it")
        folds[fold] = {split: _read_list(paths[split], table) for split in ("train", "test")}
    return arid_rows.build(table, folds, lists, videos, official=official, by_list=True)


def _read_list(path: Path, table: ClassTable) -> list[Row]:
    rows = []
    for number, line in video_list.numbered_lines(path):
        parts = line.rsplit(maxsplit=2)
        if len(parts) != 3 or not (parts[1] + parts[2]).isdecimal() or not PurePosixPath(parts[0]).name:
            raise UserError(f"{path}, line {number}: expected 'path frames class_id', got {line!r}")
        rows.append(table.row(parts[0], int(parts[2]), path, number))
    return rows
