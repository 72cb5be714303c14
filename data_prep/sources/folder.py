"""Reads a user's own videos: one sub-folder per class, or a CSV of path, label, split.

Class folders may lie in folders `train` and `test`.  Otherwise, and without splits in a CSV, a share of each class is
drawn for testing; clips of one group are never on both sides.
"""

import csv
import random
import re
from collections import Counter
from pathlib import Path

from lift_flax.errors import UserError

from . import video_list
from .video_list import SourceClip, VideoList

TEST_SHARE = 0.2  # of each class, by default


def read(
    videos: Path,
    *,
    csv_file: Path | None = None,
    group_regex: str | None = None,
    test_share: float | None = None,
    seed: int | None = None,
    default_share: float = TEST_SHARE,
) -> VideoList:
    """Reads the videos as one fold, "1".

    Args:
      videos: folder of class folders, of train and test, or the root of the paths in the CSV.
      csv_file: CSV with a header and the columns path, label and perhaps split (train, test or other).
      group_regex: searched in the path of a clip below `videos`; its first capture group is the group of the clip.
      test_share: share of each class to test on, if neither folders nor a CSV give the splits.
      seed: seed of the choice of test clips (None: 0).
      default_share: stands for a `test_share` of None.

    Raises:
      UserError: a folder, a file or a class is missing, or the folders or the CSV contradict themselves.
    """
    if csv_file is not None:
        rows = _read_csv(csv_file, videos)
    else:
        rows = _read_folders(videos)
    group_of = _groups([path for path, _, _ in rows], videos, group_regex)
    classes = sorted({name for _, name, _ in rows})
    clips = [
        SourceClip(path, classes.index(name), _id(path, videos), group)
        for (path, name, _), group in zip(rows, group_of, strict=True)
    ]
    VideoList(classes, clips, {}).check()  # ids must be unique before a split is made of them

    given = [split for _, _, split in rows if split is not None]
    if len(given) < len(rows):
        splits = _draw_test(classes, clips, test_share or default_share, seed or 0)
    elif test_share is not None or seed is not None:
        source = csv_file or f"the folders {videos / 'train'} and test"
        raise UserError(f"{source} give the splits: leave out --test-share and --seed, which draw one")
    else:
        splits = {"train": [], "test": []}
        for clip, split in zip(clips, given, strict=True):
            splits.setdefault(split, []).append(clip.id)
    result = VideoList(classes, clips, {"1": splits})
    result.check()
    if len(classes) < 2:
        raise UserError(f"{csv_file or videos} has one class only, {classes[0]}; there is nothing to tell apart")
    return result


def _read_folders(videos: Path) -> list[tuple[Path, str, str | None]]:
    """(Path, class name, split) of each video; the split is None if the folders do not give it."""
    paths = video_list.find_videos(videos)
    top = {path.relative_to(videos).parts[0] for path in paths}
    split_folders = (videos / "train").is_dir() and (videos / "test").is_dir()
    depth = 1 if split_folders else 0
    rows = []
    for path in paths:
        parts = path.relative_to(videos).parts
        if split_folders and parts[0] not in ("train", "test"):
            raise UserError(f"{path} is beside the folders train and test; move it into a class folder of one of them")
        if len(parts) < depth + 2:
            raise UserError(f"{path} is in no class folder; expected {path.parent}/CLASS/{path.name}")
        rows.append((path, parts[depth], parts[0] if split_folders else None))
    filled = {videos.joinpath(*path.relative_to(videos).parts[: depth + 1]) for path in paths}
    for parent in (videos / "train", videos / "test") if split_folders else (videos,):
        for folder in sorted(parent.iterdir()):
            if folder.is_dir() and not folder.name.startswith(".") and folder not in filled:
                print(f"left out: {folder} holds no video")
    if split_folders:
        _same_classes(rows, videos)
    elif top <= {"train", "test"}:
        raise UserError(f"{videos} has only one of the folders train and test; add the other, or point at its classes")
    return rows


def _same_classes(rows: list[tuple[Path, str, str | None]], videos: Path) -> None:
    """Raises UserError if the folders train and test hold videos of different classes."""
    train, test = ({name for _, name, split in rows if split == side} for side in ("train", "test"))
    for here, there, only in (("train", "test", train - test), ("test", "train", test - train)):
        if only:
            raise UserError(
                f"class {sorted(only)[0]} has videos in {videos / here} but none in {videos / there}; "
                "both need the same classes"
            )


def _read_csv(csv_file: Path, videos: Path) -> list[tuple[Path, str, str | None]]:
    """(Path, label, split) of each row."""
    if not csv_file.is_file():
        raise UserError(f"no file {csv_file}; give a CSV with the columns path,label,split")
    if not videos.is_dir():
        raise UserError(f"no folder {videos}; give the folder below which the paths of {csv_file.name} are")
    rows, missing = [], []
    with csv_file.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        absent = [name for name in ("path", "label") if name not in columns]
        if absent:
            raise UserError(f"{csv_file} has no column {absent[0]}; its first line must be path,label,split")
        needed = [name for name in ("path", "label", "split") if name in columns]
        for row in reader:
            values = [(row[name] or "").strip() for name in needed]
            if not all(values):
                raise UserError(f"{csv_file}, line {reader.line_num}: {', '.join(needed)} must all be given")
            split = values[2] if "split" in needed else None
            if split not in (None, "train", "test", "other"):
                raise UserError(f"{csv_file}, line {reader.line_num}: split {split!r} is not train, test or other")
            rows.append((videos / values[0], values[1], split))
            if not rows[-1][0].is_file():
                missing.append(values[0])
    if not rows:
        raise UserError(f"{csv_file} has no rows; add one line per video")
    video_list.require_files(missing, len(rows), csv_file, videos)
    return rows


def _id(path: Path, videos: Path) -> str:
    """The id of a video: its path below `videos`, or the absolute path of a file elsewhere."""
    return video_list.clip_id(path, videos) if path.is_relative_to(videos) else path.with_suffix("").as_posix()


def _groups(paths: list[Path], videos: Path, group_regex: str | None) -> list[str]:
    """The group of each path, empty without a regex."""
    if group_regex is None:
        return [""] * len(paths)
    try:
        pattern = re.compile(group_regex)
    except re.error as error:
        raise UserError(f"--group-regex {group_regex!r} is not a regular expression: {error}") from error
    if pattern.groups == 0:
        raise UserError(f"--group-regex {group_regex!r} has no capture group; put the group's part in parentheses")
    names = [(path.relative_to(videos) if path.is_relative_to(videos) else path).as_posix() for path in paths]
    groups = [(match[1] or "") if (match := pattern.search(name)) else "" for name in names]
    unmatched = [name for name, group in zip(names, groups, strict=True) if not group]
    if unmatched:
        raise UserError(
            f"--group-regex {group_regex!r} gives no group for {len(unmatched)} of {len(names)} videos, "
            f"the first is {unmatched[0]}"
        )
    return groups


def _draw_test(classes: list[str], clips: list[SourceClip], test_share: float, seed: int) -> dict[str, list[str]]:
    """Draws groups (or single clips) for testing until each class is as close to its share as whole groups allow.

    Every class keeps at least one training clip and gets at least one test clip.
    """
    units: dict[tuple[str, str], Counter[int]] = {}  # a group, or a clip of no group -> clips per class
    for clip in clips:
        units.setdefault(_unit(clip), Counter())[clip.label] += 1
    total = Counter(clip.label for clip in clips)
    chosen: set[tuple[str, str]] = set()
    tested: Counter[int] = Counter()
    order = sorted(units)
    random.Random(seed).shuffle(order)

    def leaves_training(unit: tuple[str, str]) -> bool:
        return all(tested[label] + count < total[label] for label, count in units[unit].items())

    def gain(unit: tuple[str, str]) -> float:
        """How much closer the counts of the test split get to their shares with `unit`, summed over classes."""
        lacking = {label: test_share * total[label] - tested[label] for label in units[unit]}
        return sum(abs(lacking[label]) - abs(lacking[label] - count) for label, count in units[unit].items())

    def choose(unit: tuple[str, str]) -> None:
        chosen.add(unit)
        tested.update(units[unit])

    for unit in order:
        if gain(unit) > 0 and leaves_training(unit):
            choose(unit)
    for label, name in enumerate(classes):
        if tested[label] == 0:
            candidates = [unit for unit in order if unit not in chosen and units[unit][label] and leaves_training(unit)]
            if not candidates:
                what = "one clip" if total[label] == 1 else "too few groups"
                raise UserError(f"class {name} has {what} and cannot be split into train and test; add videos to it")
            choose(min(candidates, key=lambda unit: units[unit].total()))
    return {
        "train": [clip.id for clip in clips if _unit(clip) not in chosen],
        "test": [clip.id for clip in clips if _unit(clip) in chosen],
    }


def _unit(clip: SourceClip) -> tuple[str, str]:
    """The unit that is drawn as a whole: the group of a clip, or a clip without a group."""
    return ("group", clip.group) if clip.group else ("clip", clip.id)
