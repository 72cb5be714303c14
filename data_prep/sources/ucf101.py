"""Reads the official UCF101 lists: `classInd.txt`, `trainlist0{1,2,3}.txt` and `testlist0{1,2,3}.txt`.

Classes are numbered from 1.  Test lists name no class, so the folder decides.  The releases of lists and of videos
write `HandstandPushups` differently, so names are matched without case.
"""

import re
from pathlib import Path, PurePosixPath

from lift_flax.errors import UserError

from . import video_list
from .video_list import SourceClip, VideoList

COUNTS = {"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}  # of train and test
_CLIP_NUMBER = re.compile(r"_c\d+$")


def read(lists: Path, videos: Path) -> VideoList:
    """Reads every fold with two lists.

    Args:
      lists: folder of the class index and the lists (`ucfTrainTestlist`).
      videos: folder of the class folders (`UCF-101`).

    Raises:
      UserError: a list or a video is missing, or a list contradicts the class index.
    """
    names = _read_classes(lists / "classInd.txt")
    labels = {name.lower(): label for label, name in enumerate(names)}
    rows: dict[str, tuple[int, str]] = {}  # id in lower case -> (label, the video as listed)
    folds: dict[str, dict[str, list[str]]] = {}
    for fold in COUNTS:
        files = {split: lists / f"{split}list0{fold}.txt" for split in ("train", "test")}
        if not files["train"].is_file():
            continue
        folds[fold] = {split: _read_list(path, labels, rows) for split, path in files.items()}
    if not folds:
        raise UserError(f"no trainlist01.txt (nor 02, nor 03) in {lists}; give the folder of the official lists")
    return _build(names, rows, folds, lists, videos)


def _read_classes(path: Path) -> list[str]:
    names = []
    for number, line in video_list.numbered_lines(path):
        index, _, name = line.partition(" ")
        if index != str(len(names) + 1) or not name:
            raise UserError(f"{path}, line {number}: expected '{len(names) + 1} name', got {line!r}")
        names.append(name)
    return names


def _read_list(path: Path, labels: dict[str, int], rows: dict[str, tuple[int, str]]) -> list[str]:
    """Ids of one list, in lower case; adds their labels and names to `rows`."""
    ids = []
    for number, line in video_list.numbered_lines(path):
        video, _, index = line.partition(" ")
        folder = PurePosixPath(video).parts[0]
        label = labels.get(folder.lower())
        if label is None:
            raise UserError(f"{path}, line {number}: {folder} is not in classInd.txt")
        if index and index != str(label + 1):
            raise UserError(f"{path}, line {number}: {video} has class {index}, but {folder} is {label + 1}")
        id = PurePosixPath(video).with_suffix("").as_posix().lower()
        rows[id] = (label, video)
        ids.append(id)
    return ids


def _build(
    names: list[str],
    rows: dict[str, tuple[int, str]],
    folds: dict[str, dict[str, list[str]]],
    lists: Path,
    videos: Path,
) -> VideoList:
    """Joins the lists with the files on disk, whose names give the case of the ids."""
    paths: dict[str, Path] = {}
    for path in video_list.find_videos(videos):
        id = video_list.clip_id(path, videos)
        if other := paths.get(id.lower()):
            raise UserError(f"{id} exists twice: {other} and {path}; keep one of them")
        paths[id.lower()] = path
    video_list.require_files((video for id, (_, video) in rows.items() if id not in paths), len(rows), lists, videos)
    ids = {id: video_list.clip_id(paths[id], videos) for id in rows}
    clips = [SourceClip(paths[id], label, ids[id], _CLIP_NUMBER.sub("", ids[id])) for id, (label, _) in rows.items()]
    named = {fold: {s: [ids[id] for id in members] for s, members in splits.items()} for fold, splits in folds.items()}
    result = VideoList(names, clips, named, COUNTS)
    result.check()
    return result
