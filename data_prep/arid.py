"""Reads the official ARID lists: `mapping_table.txt` and `ARID_split{1,2,3}_{train,test,other}.txt`.

A list line is `number <tab> class id <tab> path`.  Releases differ in the extension of the videos, so a path is matched
without it.  Official splits keep groups apart, and a group belongs to one class: `Jump/Jump_11_1` is clip 1 of group 11
of Jump, which has nothing to do with group 11 of Run.
"""

import re
from pathlib import Path, PurePosixPath

from data_prep import video_list
from data_prep.video_list import Clip, VideoList
from lift_flax.errors import UserError

COUNTS = {"1": (2288, 823), "2": (2252, 859), "3": (2259, 852)}  # of train and test, version 1.0
_SPLITS = ("train", "test", "other")
_GROUPED_NAME = re.compile(r"(.+_\d+)_\d+")


def read(lists: Path, videos: Path) -> VideoList:
    """Reads every fold whose train list exists.

    Args:
      lists: folder of the mapping table and the split lists.
      videos: folder below which the listed paths are.

    Returns:
      The clips that any list names.  Classes that no list uses are left out, the rest keep the order of their ids.

    Raises:
      UserError: something is missing, or the lists contradict each other or the table.
    """
    names = _read_mapping(lists / "mapping_table.txt")
    rows: dict[str, int] = {}  # id -> class id, in order of first appearance
    listed_in: dict[str, Path] = {}
    folds: dict[str, dict[str, list[str]]] = {}
    for fold in ("1", "2", "3"):
        files = {split: lists / f"ARID_split{fold}_{split}.txt" for split in _SPLITS}
        if not files["train"].is_file():
            continue
        if not files["test"].is_file():
            raise UserError(f"{files['train'].name} has no {files['test'].name} beside it in {lists}; add it")
        folds[fold] = {}
        in_fold: dict[str, Path] = {}
        for split, path in files.items():
            if not path.is_file():
                continue
            folds[fold][split] = []
            for id, class_id in _read_list(path, names):
                if id in in_fold:
                    raise UserError(
                        f"{id} is both in {in_fold[id].name} and again in {path.name}; keep one of the lines"
                    )
                if rows.setdefault(id, class_id) != class_id:
                    raise UserError(f"{id} has class {rows[id]} in {listed_in[id].name} but {class_id} in {path.name}")
                in_fold[id] = path
                listed_in.setdefault(id, path)
                folds[fold][split].append(id)
    if not folds:
        raise UserError(f"no ARID_split1_train.txt (nor 2, nor 3) in {lists}; give the folder of the official lists")
    return _build(names, rows, folds, lists, videos)


def _build(
    names: dict[int, str], rows: dict[str, int], folds: dict[str, dict[str, list[str]]], lists: Path, videos: Path
) -> VideoList:
    """Joins the lists to the files on disk."""
    paths: dict[str, list[Path]] = {}
    for path in video_list.find_videos(videos):
        paths.setdefault(video_list.clip_id(path, videos), []).append(path)
    video_list.require_files((id for id in rows if id not in paths), len(rows), lists, videos)
    for id in rows:
        if len(paths[id]) > 1:
            raise UserError(f"{id} is there twice: {paths[id][0]} and {paths[id][1].name}; keep one of them")
    used = sorted(set(rows.values()))
    label_of = {class_id: label for label, class_id in enumerate(used)}
    clips = [Clip(paths[id][0], label_of[class_id], id, _group(id)) for id, class_id in rows.items()]
    result = VideoList([names[class_id] for class_id in used], clips, folds)
    result.check()
    return result


def _group(id: str) -> str:
    """`Jump/Jump_11_1` -> `Jump_11`; an anonymous name such as `validate/24` has none."""
    match = _GROUPED_NAME.fullmatch(PurePosixPath(id).name)
    return match[1] if match else ""


def _read_mapping(path: Path) -> dict[int, str]:
    """Class id -> class name."""
    if not path.is_file():
        raise UserError(f"no {path.name} in {path.parent}; give the folder of the official lists")
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
    return names


def _read_list(path: Path, names: dict[int, str]) -> list[tuple[str, int]]:
    """(id, class id) of each line, in order."""
    rows = []
    for number, line in video_list.numbered_lines(path):
        parts = line.split("\t")
        if len(parts) != 3 or not parts[1].strip().isdecimal():
            raise UserError(f"{path}, line {number}: expected 'number <tab> class id <tab> path', got {line!r}")
        class_id, video = int(parts[1]), PurePosixPath(parts[2].strip())
        if class_id not in names:
            raise UserError(f"{path}, line {number}: class id {class_id} is not in mapping_table.txt")
        folder = video.parts[0]
        if folder in names.values() and folder != names[class_id]:
            raise UserError(f"{path}, line {number}: {video} has class {class_id}, which is {names[class_id]}")
        rows.append((video.with_suffix("").as_posix(), class_id))
    return rows
