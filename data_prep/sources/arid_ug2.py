"""Reads the lists of UG2+ track 2.1, six classes of ARID: `*_train_pub.csv` and `*_test_pub.csv`.

The columns are `VideoID,Video,ClassID`.  Test videos have anonymous names (`0.mp4`).  So do the validation videos of
`*_validation_gt_pub.csv`, which names no class: their rows go to the split "other".
"""

import csv
import re
from pathlib import Path, PurePosixPath

from lift_flax.errors import UserError

from . import arid_rows
from .arid_rows import ClassTable, Row
from .video_list import UNLABELLED, VideoList

FILE = re.compile(r".*_(train|test|validation)(_gt)?_pub\.csv")
COUNTS = arid_rows.UG2_COUNTS


def read(lists: Path, videos: Path) -> VideoList:
    """Reads the lists as one fold, "1".

    Args:
      lists: folder of the lists, and of the mapping table if there is one.
      videos: folder of the videos, or of folders `train` and `test` (`train_data`, `test_data`, `validate`).

    Raises:
      UserError: a list or a video is missing, or a list contradicts itself or the class table.
    """
    files: dict[str, Path] = {}
    for path in sorted(lists.iterdir()):
        if match := FILE.fullmatch(path.name):
            if other := files.get(match[1]):
                raise UserError(f"{other.name} and {path.name} in {lists} are both {match[1]} lists; keep one of them")
            files[match[1]] = path
    for split in ("train", "test"):
        if split not in files:
            other = next(iter(files.values())).name
            raise UserError(f"{other} has no *_{split}_pub.csv beside it in {lists}; add it")
    table = arid_rows.read_classes(lists)
    rows = {split: _read_list(files[split], table) for split in ("train", "test", "validation") if split in files}
    for split in ("train", "test"):
        if any(row.class_id == UNLABELLED for row in rows[split]):
            raise UserError(f"{files[split]} has no column ClassID; give a {split} list that has one")
    return arid_rows.build(table, {"1": rows}, lists, videos, official=COUNTS, by_list=True)


def _read_list(path: Path, table: ClassTable) -> list[Row]:
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if "Video" not in columns:
                raise UserError(f"{path} has no column Video; its first line must be VideoID,Video,ClassID")
            for line in reader:
                video, class_id = (line["Video"] or "").strip(), (line.get("ClassID") or "").strip()
                if None in line or not PurePosixPath(video).name or class_id.isdecimal() != ("ClassID" in columns):
                    got = ",".join(str(value) for value in line.values())
                    raise UserError(f"{path}, line {reader.line_num}: expected '{','.join(columns)}', got {got!r}")
                if class_id:
                    rows.append(table.row(video, int(class_id), path, reader.line_num))
                else:
                    rows.append(Row(arid_rows.without_suffix(video), UNLABELLED, path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file ({error}); give the official list") from error
    return rows
