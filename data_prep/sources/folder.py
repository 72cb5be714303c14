"""Reads a user's own videos: one sub-folder per class, or a CSV of path, label, and perhaps split or fold, and group.

Class folders may lie in folders `train`, `val` and `test`.  Otherwise, and without splits in a CSV, a share of each
class is drawn for testing, groups are named for it, or folds are made of whole groups.  Clips of one group are never on
both sides.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lift_flax.errors import UserError, shown

from . import csv_lists, layout, own_splits, video_list
from .csv_lists import ListedVideo
from .video_list import UNLABELLED, SourceClip, VideoList

TEST_SHARE = 0.2  # of each class, by default


def read(
    videos: Path,
    *,
    csv_file: Path | None = None,
    ignore_columns: bool | None = None,
    class_level: int | None = None,
    group_regex: str | None = None,
    test_share: float | None = None,
    seed: int | None = None,
    test_groups: str | None = None,
    folds: int | str | None = None,
    default_share: float = TEST_SHARE,
) -> VideoList:
    """Reads the videos, as one fold "1" unless several are asked for.

    Args:
      videos: folder of class folders, of train and test, or the root of the paths in the CSV.
      csv_file: CSV with a header and the columns path, label, perhaps split or fold, perhaps group.
      ignore_columns: leaves out other columns of the CSV, which are an error without.
      class_level: which folder of a path below `videos` names its class, counted from 1; found out if not given.
      group_regex: searched in the path of a clip below `videos`; its first capture group is the group of the clip.
      test_share: share of each class to test on, if neither folders nor a CSV give the splits.
      seed: seed of the choice of test clips, or of folds (None: 0).
      test_groups: names of the groups to test on, between commas.
      folds: number of folds to make of whole groups; or "groups": one for each group, which it tests on.
      default_share: stands for a `test_share` of None.

    Raises:
      UserError: a folder, a file or a class is missing, or the folders, the CSV or the flags contradict themselves.
    """
    if csv_file is not None:
        if class_level is not None:
            raise UserError(f"{csv_file} gives the classes: leave out --class-level")
        rows = csv_lists.read_csv(csv_file, videos, ignore_columns=bool(ignore_columns))
    elif ignore_columns:
        raise UserError("--ignore-columns has no effect without --csv: leave it out")
    else:
        rows = _read_folders(videos, class_level)
    group_of = _groups(rows, videos, group_regex)
    classes = sorted({row.label for row in rows})
    clips = [
        SourceClip(row.path, classes.index(row.label), _id(row.path, videos), group)
        for row, group in zip(rows, group_of, strict=True)
    ]
    VideoList(classes, clips, {}).check()  # ids must be unique before a split is made of them
    _refuse_one_file_twice(clips)
    _note_alike(classes)
    flags = {"--test-share": test_share, "--seed": seed, "--test-groups": test_groups, "--folds": folds}
    source = str(csv_file) if csv_file else f"the folders in {videos}"
    made, tests_on = _folds_of(rows, clips, classes, flags, source, default_share)
    result = VideoList(classes, clips, made, tests_on=tests_on)
    result.check()
    _note_alike_groups(result)
    if len(classes) < 2:
        raise UserError(
            f"{csv_file or videos} has one class only, {classes[0]}; there is nothing to tell apart (clips "
            "without labels, for `lift-flax pretrain`: --unlabelled)"
        )
    return result


def _folds_of(
    rows: list[ListedVideo],
    clips: list[SourceClip],
    classes: list[str],
    flags: dict[str, Any],
    source: str,
    default_share: float,
) -> tuple[dict[str, dict[str, list[str]]], dict[str, str]]:
    """(`VideoList.folds`, `tests_on`) as the rows give them, else as the flags ask for."""
    folds, test_groups, seed = (flags[name] for name in ("--folds", "--test-groups", "--seed"))
    if rows[0].split is not None or rows[0].fold is not None:
        _refuse_flags(flags, source)
        if rows[0].fold is not None:
            return own_splits.given_folds(clips, [row.fold or "" for row in rows])
        return {"1": _given_splits(rows, clips)}, {}
    if folds is not None:
        _refuse_flags({**flags, "--folds": None, "--seed": seed if folds == "groups" else None}, f"--folds={folds}")
        return own_splits.make_folds(classes, clips, folds, seed or 0)
    if test_groups is not None:
        _refuse_flags({**flags, "--test-groups": None}, "--test-groups")
        return {"1": own_splits.choose_test(clips, test_groups)}, {}
    return {"1": own_splits.draw_test(classes, clips, flags["--test-share"] or default_share, seed or 0)}, {}


def read_unlabelled(videos: Path, group_regex: str | None) -> VideoList:
    """Every video below `videos`, of no class, as the "other" clips of fold 1.

    Args:
      group_regex: as `read` takes it.

    Raises:
      UserError: there are none, a group is missing, or a file is there twice.
    """
    rows = [ListedVideo(path, "") for path in video_list.find_videos(videos)]
    group_of = _groups(rows, videos, group_regex)
    clips = [
        SourceClip(row.path, UNLABELLED, _id(row.path, videos), group)
        for row, group in zip(rows, group_of, strict=True)
    ]
    result = VideoList([], clips, {"1": {"train": [], "test": [], "other": [clip.id for clip in clips]}})
    result.check()
    _refuse_one_file_twice(clips)
    return result


def _refuse_flags(flags: dict[str, object], source: str) -> None:
    """Raises UserError for flags that ask for other splits than those of `source`."""
    if given := [name for name, value in flags.items() if value is not None]:
        raise UserError(f"{source} give the splits: leave out {' and '.join(given)}")


def _given_splits(rows: list[ListedVideo], clips: list[SourceClip]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {"train": [], "test": []}
    for clip, row in zip(clips, rows, strict=True):
        splits.setdefault(row.split or "", []).append(clip.id)
    return splits


def _read_folders(videos: Path, class_level: int | None) -> list[ListedVideo]:
    """Every video with its class, and with its split if the folders give it."""
    found = [path.relative_to(videos) for path in video_list.find_videos(videos)]
    meaning = layout.find_layout(found, videos, class_level)
    rows = []
    for path in found:
        name, split = meaning.place(path)
        label = video_list.fit_name(name, f"{shown(videos / path)}: the class folder")
        rows.append(ListedVideo(videos / path, label, split))
    filled = {path.parts[: meaning.class_level] for path in found}
    for folder in sorted(videos.glob("/".join(["*"] * meaning.class_level))):
        below = folder.relative_to(videos)
        if below.parts not in filled and not any(part.startswith(".") for part in below.parts):
            if folder.is_symlink() and not folder.exists():
                print(f"left out: {shown(folder)} is a link to {shown(os.readlink(folder))}, which is missing")
            elif folder.is_dir():
                print(f"left out: {shown(folder)} holds no video")
    if meaning.split_level:
        _same_classes(rows, videos, meaning)
    return rows


def _same_classes(rows: list[ListedVideo], videos: Path, meaning: layout.Layout) -> None:
    """Raises UserError if the folders of the splits hold videos of different classes; validation may lack some."""
    folder_of = {split: name if meaning.split_level != 1 else videos / name for name, split in meaning.splits.items()}
    held = {split: {row.label for row in rows if row.split == split} for split in folder_of}
    for here, there in (("train", "test"), ("test", "train"), ("val", "train")):
        if only := held.get(here, set()) - held[there]:
            raise UserError(
                f"class {min(only)} has videos in {folder_of[here]} but none in {folder_of[there]}; "
                "both need the same classes"
            )


def _refuse_one_file_twice(clips: list[SourceClip]) -> None:
    """Raises UserError if two paths lead to one file: it would be in two classes, or on both sides of a split."""
    seen: dict[str, SourceClip] = {}
    for clip in clips:
        other = seen.setdefault(os.path.realpath(clip.path), clip)
        if other is not clip:
            raise UserError(f"{other.path} and {clip.path} are one file, by a link; remove one of them")


def _note_alike(classes: list[str]) -> None:
    """Prints classes whose names differ by case only: perhaps they are one."""
    first: dict[str, str] = {}
    for name in classes:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            print(f"note: {other} and {name} are two classes; if they are one, spell it in one way")


def _note_alike_groups(videos: VideoList) -> None:
    """Prints groups whose names differ by case only and that are on both sides of a fold, each pair once."""
    group_of = {clip.id: clip.group for clip in videos.clips}
    noted: set[tuple[str, str]] = set()
    for fold, splits in videos.folds.items():
        first: dict[str, tuple[str, str]] = {}
        for side in ("train", "val", "test"):
            for name in sorted({group_of[id] for id in splits.get(side, [])}):
                other, where = first.setdefault(name.casefold(), (name, side))
                if name != other and where != side and (pair := (min(name, other), max(name, other))) not in noted:
                    noted.add(pair)
                    print(
                        f"note: {pair[0]} and {pair[1]} are two groups, on both sides of fold {fold}; if they are "
                        "one, spell it in one way"
                    )


def _id(path: Path, videos: Path) -> str:
    """The id of a video: its path below `videos`, or the absolute path of a file elsewhere."""
    found = video_list.below(path, videos)
    return f"{found.anchor}{video_list.clip_id(found, Path(found.anchor))}"


def group_finder(group_regex: str) -> Callable[[str], str]:
    """The group of a path by `group_regex`, its first capture group; empty where it does not match.

    Raises:
      UserError: it is no regular expression, or has no capture group.
    """
    try:
        pattern = re.compile(group_regex)
    except re.error as error:
        raise UserError(f"--group-regex {group_regex!r} is not a regular expression: {error}") from error
    if pattern.groups == 0:
        raise UserError(f"--group-regex {group_regex!r} has no capture group; put the group's part in parentheses")
    return lambda path: (match[1] or "") if (match := pattern.search(path)) else ""


def _groups(rows: list[ListedVideo], videos: Path, group_regex: str | None) -> list[str]:
    """The group of each path, empty without a regex."""
    if group_regex is None:
        return [row.group for row in rows]
    if any(row.group for row in rows):
        raise UserError("the CSV has a column group: leave out --group-regex")
    group_of = group_finder(group_regex)
    paths = [row.path for row in rows]
    names = [video_list.below(path, videos).as_posix() for path in paths]
    groups = [group_of(name) for name in names]
    unmatched = [name for name, group in zip(names, groups, strict=True) if not group]
    if unmatched:
        raise UserError(
            f"--group-regex '{group_regex}' gives no group for {len(unmatched)} of {len(names)} videos, "
            f"the first is {unmatched[0]}: its one pair of parentheses must match in the path of each"
        )
    return [video_list.fit_name(group, f"{name}: the group") for group, name in zip(groups, names, strict=True)]
