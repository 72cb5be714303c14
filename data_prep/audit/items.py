"""The items of an audit: video files and records, listed, read and inspected one by one."""

import dataclasses
import functools
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lift_flax.errors import UserError, shown
from lift_flax.video.decode import VideoError, count_frames, decode_frames, decode_jpegs
from lift_flax.video.inspection import Inspection, coder_errors, inspect_pictures, inspect_video
from lift_flax.video.sampling import Timing

from ..sources import layout, video_list

_UNFIT = "name that no record holds: it has a line break or bytes that are not UTF-8; rename it, or build refuses it"
_EARLY = 250  # frames at most that are decoded for a picture


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip of an audit.

    Attributes:
      name: the path below the folder as text, or the id of a record.
      split, label: of the clip; "all" if unknown.
      source: the file; for a record, the folder of records and the position in it.
      notes: what is odd about its name.
    """

    name: str
    split: str
    label: str
    source: Path | tuple[Path, int]
    notes: tuple[str, ...] = ()


def find_items(folder: Path, class_level: int | None = None) -> tuple[list[Item], dict[str, dict[str, list[str]]]]:
    """The clips of a folder, and {fold: {split: names}}.

    Classes and splits are those that `build` would see.  Where it would ask which folders they are, so does this: it
    prints the question, and all clips are of one class.

    Args:
      folder: of videos, or of records.
      class_level: as the flag of `build`.

    Raises:
      UserError: it has no clips, or records are damaged.
    """
    if (folder / "prep_report.json").is_file():
        return _record_items(folder)
    below = [path.relative_to(folder) for path in video_list.find_videos(folder)]
    try:
        meaning = layout.find_layout(below, folder, class_level)
    except UserError as question:
        print(f"classes unknown: {question}")
        meaning = None
    items = []
    for path in below:
        label, split = meaning.place(path) if meaning else ("all", None)
        label = unicodedata.normalize("NFC", label).strip()
        notes = (_UNFIT,) if video_list.unfit(str(path)) or shown(label) != label else ()
        items.append(Item(shown(path), split or "all", shown(label), folder / path, notes))
    splits = ("train", *(["val"] if any(item.split == "val" for item in items) else []), "test")
    return items, {"1": {split: [item.name for item in items if item.split == split] for split in splits}}


def _record_items(folder: Path) -> tuple[list[Item], dict[str, dict[str, list[str]]]]:
    try:
        records = folder / json.loads((folder / "prep_report.json").read_text())["records"]
        folds = json.loads((folder / "folds.json").read_text())
        first = next(iter(folds["folds"].values()))
        split_of = {id: split for split, ids in first.items() for id in ids}
        classes = [*folds["classes"], "unknown"]  # label -1
        items = [
            Item(clip["id"], split_of.get(clip["id"], "none"), classes[clip["label"]], (records, position))
            for position, clip in enumerate(folds["clips"])
        ]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder} holds damaged records ({error}); build them again with --overwrite") from error
    return items, folds["folds"]


def inspect(source: Path | tuple[Path, int]) -> Inspection:
    """Inspects a file or a record, in a worker.  Raises VideoError if it is bad."""
    with coder_errors():
        return inspect_video(source) if isinstance(source, Path) else _inspect_record(source)


def _inspect_record(source: tuple[Path, int]) -> Inspection:
    record = _read_record(source)
    count = int(record["num_frames"])
    if "frames" in record:
        pictures = (decode_jpegs(record["frames"], [index])[0] for index in range(len(record["frames"])))
        inspection = inspect_pictures(pictures, float(record["fps"]))
    else:
        inspection = inspect_video(record["video"])
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
        return _open_records(folder)[position]
    except Exception as error:  # a damaged file makes the readers raise anything
        raise VideoError(f"the record cannot be read ({type(error).__name__})") from error


@functools.cache
def _open_records(folder: Path) -> Any:
    import tensorflow_datasets as tfds  # imported late because audits of files need no TFDS

    builder = tfds.builder_from_directory(folder)
    return builder.as_data_source("all")  # pyright: ignore[reportCallIssue]  # TFDS wraps the method
