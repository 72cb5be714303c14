"""Reads the official HMDB51 lists: `CLASS_test_split{1,2,3}.txt`, 153 files of `video.avi tag`.

A tag is 1 (train), 2 (test) or 0 (not used in this fold).  Names may hold any character, among them brackets,
semicolons and blanks, so a line is split at its last blank.
"""

import re
from pathlib import Path

from lift_flax.errors import UserError

from . import video_list
from .video_list import SourceClip, VideoList

COUNTS = {fold: (3570, 1530) for fold in ("1", "2", "3")}  # of train and test
_SPLITS = {"1": "train", "2": "test", "0": "other"}
_FILE = re.compile(r"(.+)_test_split([123])\.txt")
_PROPERTIES = re.compile(r"_[fhlu]_(cm|nm)_np\d+_(ba|fr|le|ri)_(bad|goo|med)_\d+$")


def read(lists: Path, videos: Path) -> VideoList:
    """Reads every fold that has a list for each class.

    Args:
      lists: folder of the lists (`testTrainMulti_7030_splits`).
      videos: folder of the class folders, their clips unpacked.

    Raises:
      UserError: a list or a video is missing, or a line is not `video tag`.
    """
    files = {m.groups(): path for path in sorted(lists.glob("*.txt")) if (m := _FILE.fullmatch(path.name))}
    names = sorted({name for name, _ in files})
    if not names:
        raise UserError(f"no CLASS_test_split1.txt in {lists}; give the folder of the official lists")
    rows: dict[str, int] = {}
    folds: dict[str, dict[str, list[str]]] = {}
    for fold in sorted({fold for _, fold in files}):
        folds[fold] = {split: [] for split in ("train", "test", "other")}
        for label, name in enumerate(names):
            if (name, fold) not in files:
                raise UserError(f"no {name}_test_split{fold}.txt in {lists}, but other classes have one; add it")
            for video, split in _read_list(files[name, fold]):
                id = f"{name}/{Path(video).stem}"
                rows[id] = label
                folds[fold][split].append(id)
    paths = {video_list.clip_id(path, videos): path for path in video_list.find_videos(videos)}
    video_list.require_files((id for id in rows if id not in paths), len(rows), lists, videos)
    clips = [SourceClip(paths[id], label, id, _PROPERTIES.sub("", id)) for id, label in rows.items()]
    result = VideoList(names, clips, folds, COUNTS)
    result.check()
    return result


def _read_list(path: Path) -> list[tuple[str, str]]:
    """(video, split) of each line."""
    rows = []
    for number, line in video_list.numbered_lines(path):
        video, _, tag = line.rpartition(" ")
        if tag not in _SPLITS or not video.strip():
            raise UserError(f"{path}, line {number}: expected 'video tag' with a tag of 0, 1 or 2, got {line!r}")
        rows.append((video.strip(), _SPLITS[tag]))
    return rows
