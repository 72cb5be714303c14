"""The items of an audit: video files and records, listed, read and inspected one by one."""

import dataclasses
import functools
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16, UInt8

from lift_flax.errors import UserError, shown
from lift_flax.files import record_files
from lift_flax.video.decode import VideoError, count_frames, decode_frames, decode_jpegs
from lift_flax.video.inspection import Inspection, Watch, coder_errors, inspect_pictures, inspect_video
from lift_flax.video.sampling import Timing

from ..sources import csv_lists, layout, own_splits, video_list
from ..sources.csv_lists import ListedVideo
from ..sources.folder import group_finder
from .thumbnails import Thumbnails

Folds = dict[str, dict[str, list[str]]]

_UNFIT = "name that no record holds: it has a line break or bytes that are not UTF-8; rename it, or build refuses it"
_BLANK = "class whose name is blanks alone; rename its folder, or build refuses it"
_EARLY = 250  # frames at most that are decoded for a picture


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip of an audit.

    Attributes:
      name: the path below the folder as text, or the id of a record.
      split, label: of the clip; "all" if unknown.
      group: its scene or actor; empty if unknown.
      source: the file; for a record, the folder of records and the position in it.
      notes: what is odd about its name.
    """

    name: str
    split: str
    label: str
    source: Path | tuple[Path, int]
    notes: tuple[str, ...] = ()
    group: str = ""


def find_items(
    folder: Path, class_level: int | None = None, csv_file: Path | None = None, group_regex: str | None = None
) -> tuple[list[Item], Folds]:
    """The clips of a folder, and {fold: {split: names}}.

    Classes and splits are those that `build` would see.  Where it would ask which folders they are, so does this: it
    prints the question, and all clips are of one class.

    Args:
      folder: of videos, or of records.
      class_level, csv_file, group_regex: as the flags of `build`; a clip that the regex does not match has no group.

    Raises:
      UserError: it has no clips, records or the CSV are damaged, or a flag does not fit.
    """
    if (folder / "prep_report.json").is_file():
        if csv_file or group_regex or class_level:
            raise UserError(f"{folder} holds records, which know classes and groups: leave the other flags out")
        return _record_items(folder)
    rows = csv_lists.read_csv(csv_file, folder, ignore_columns=True) if csv_file else _rows(folder, class_level)
    group_of = group_finder(group_regex) if group_regex is not None else lambda path: ""
    items = []
    for row in rows:
        path = video_list.below(row.path, folder)
        label = unicodedata.normalize("NFC", row.label).strip()
        notes = (_UNFIT,) if video_list.unfit(str(path)) or shown(label) != label else ()
        notes = (_BLANK,) if video_list.blank(label) else notes
        group = row.group or group_of(path.as_posix())
        items.append(Item(shown(path), row.split or "all", shown(label), row.path, notes, shown(group)))
    tested_in = [row.fold for row in rows if row.fold]  # of all, or of none
    if not tested_in:
        kinds = ("train", *(kind for kind in ("val", "other") if any(item.split == kind for item in items)), "test")
        return items, {"1": {kind: [item.name for item in items if item.split == kind] for kind in kinds}}
    folds = own_splits.tested_once([item.name for item in items], tested_in)
    return [dataclasses.replace(item, split=_split_in(next(iter(folds.values())), item.name)) for item in items], folds


def _rows(folder: Path, class_level: int | None) -> list[ListedVideo]:
    """Every video with the class and the split that its folders name."""
    paths = video_list.find_videos(folder)
    below = [path.relative_to(folder) for path in paths]
    try:
        meaning = layout.find_layout(below, folder, class_level)
    except UserError as question:
        print(f"classes unknown: {question}")
        return [ListedVideo(path, "all") for path in paths]
    return [ListedVideo(path, *meaning.place(inside)) for path, inside in zip(paths, below, strict=True)]


def _split_in(splits: dict[str, list[str]], name: str) -> str:
    return next((split for split, names in splits.items() if name in names), "none")


def _record_items(folder: Path) -> tuple[list[Item], Folds]:
    records = folder / record_files.read_report(folder)["records"]
    folds = record_files.read_folds(folder)
    first = next(iter(folds["folds"].values()))
    split_of = {id: split for split, ids in first.items() for id in ids}
    classes = [*folds["classes"], "unknown"]  # label -1
    items = [
        Item(clip["id"], split_of.get(clip["id"], "none"), classes[clip["label"]], (records, n), group=clip["group"])
        for n, clip in enumerate(folds["clips"])
    ]
    try:
        _open_records(records)
    except Exception as error:  # a damaged file makes the readers raise anything
        raise UserError(
            f"{records} is missing or damaged ({type(error).__name__}): build the records again with --overwrite"
        ) from error
    return items, folds["folds"]


def inspect(source: Path | tuple[Path, int], longest: float) -> tuple[Inspection, Float16[np.ndarray, "N P"]]:
    """(Facts about a file or a record, small pictures of its first `longest` seconds), in a worker.

    Raises:
      VideoError: it is bad.
    """
    seen = Thumbnails(longest)
    with coder_errors():
        if isinstance(source, Path):
            return inspect_video(source, watch=seen.add), seen.pictures()
        return _inspect_record(source, seen.add), seen.pictures()


def _inspect_record(source: tuple[Path, int], watch: Watch) -> Inspection:
    record = _read_record(source)
    count = int(record["num_frames"])
    if "frames" in record:
        pictures = (decode_jpegs(record["frames"], [index])[0] for index in range(len(record["frames"])))
        inspection = inspect_pictures(pictures, float(record["fps"]), watch)
    else:
        inspection = inspect_video(record["video"], watch=watch)
    if inspection.num_frames != count:
        raise VideoError(f"damaged: {inspection.num_frames} frames where the record promises {count}")
    if "flow" in record and (flows := count_frames(record["flow"])) != count:
        raise VideoError(f"damaged: flow of {flows} frames where the record promises {count}")
    timing = Timing.of_record(record)
    return dataclasses.replace(inspection, times=timing.times, seconds=timing.seconds)


def middle_frame(source: Path | tuple[Path, int], num_frames: int) -> UInt8[np.ndarray, "H W 3"]:
    """A frame to show a good clip by: the middle one, or an early one of a long clip."""
    index = min(num_frames // 2, _EARLY)
    with coder_errors():
        if isinstance(source, Path):
            return decode_frames(source, [index])[0]
        record = _read_record(source)
        if "frames" in record:
            return decode_jpegs(record["frames"], [index])[0]
        return decode_frames(record["video"], [index])[0]


def _read_record(source: tuple[Path, int]) -> dict[str, Any]:
    """A record by its position.  Raises VideoError if it cannot be read."""
    folder, position = source
    try:
        return _opened_once(folder)[position]
    except Exception as error:  # a damaged file makes the readers raise anything
        raise VideoError(f"the record cannot be read ({type(error).__name__})") from error


@functools.cache
def _opened_once(folder: Path) -> Any:
    return _open_records(folder)


def _open_records(folder: Path) -> Any:
    import tensorflow_datasets as tfds  # imported late because audits of files need no TFDS

    builder = tfds.builder_from_directory(folder)
    return builder.as_data_source("all")  # pyright: ignore[reportCallIssue]  # TFDS wraps the method
