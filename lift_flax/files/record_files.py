"""The two JSON files of a folder of records, `prep_report.json` and `folds.json`, read and checked."""

from pathlib import Path, PurePosixPath
from typing import Any

from lift_flax.errors import UserError, shown
from lift_flax.files.json_object import read_object

_SETTINGS = {"codec": str, "size": int, "max_frames": (int, None), "flow": str}
_REPORT = {"source": str, "records": str, "settings": _SETTINGS, "rejected": [dict]}
_MEASURED = {  # earlier versions did not measure it
    "frames": int,
    "flow": {"rms_pixels": (float, int)},
    "mean_luma": {"percentiles": {"50": (float, int)}},
}
_HUGE = 10**12
_CLIP = {"id": str, "label": int, "group": str}
_FOLDS = {"classes": [str], "folds": {str: {str: [str]}}, "clips": [_CLIP]}
_AGAIN = "build the records again with --overwrite"


def read_report(folder: Path, remedy: str = _AGAIN) -> dict[str, Any]:
    """What `prep_report.json` says of the records in `folder` (docs/data.md).

    Args:
      remedy: what to do where it is damaged.

    Raises:
      UserError: the file is missing or damaged, or that of another program.
    """
    path = folder / "prep_report.json"
    report = read_object(path, _REPORT, remedy)
    measured = read_object(path, {name: shape for name, shape in _MEASURED.items() if name in report}, remedy)
    numbers = {
        "frames": measured.get("frames", 0),
        "flow": measured.get("flow", {}).get("rms_pixels", 0),
        "mean_luma": measured.get("mean_luma", {}).get("percentiles", {}).get("50", 0),
    }
    if odd := [name for name, number in numbers.items() if not 0 <= number < _HUGE]:  # false for NaN, too
        raise UserError(f"{path} is missing or damaged ({odd[0]} is {numbers[odd[0]]}): {remedy}")
    records = PurePosixPath(report["records"])
    if records.is_absolute() or ".." in records.parts or records.parts[:1] != (report["source"],):
        raise UserError(f"{path} is missing or damaged (records in {shown(records)}): {remedy}")
    if report["source"] == "folder" and not isinstance(report["settings"].get("videos"), str):
        raise UserError(f"{path} is missing or damaged (no videos in settings): {remedy}")
    return report


def read_folds(folder: Path) -> dict[str, Any]:
    """What `folds.json` says of the records in `folder`: "classes", "folds" and "clips" in the order of the records.

    Raises:
      UserError: the file is missing or damaged, or its parts contradict each other.
    """
    path = folder / "folds.json"
    stated = read_object(path, _FOLDS, _AGAIN)
    if fault := _contradiction(stated):
        raise UserError(f"{path} is missing or damaged ({shown(fault)}): {_AGAIN}")
    return stated


def _contradiction(stated: dict[str, Any]) -> str | None:
    """Where the clips do not fit the classes or the folds; None if they do."""
    ids = {clip["id"] for clip in stated["clips"]}
    if not stated["folds"]:
        return "no fold"
    if len(ids) < len(stated["clips"]):
        return "two clips of one id"
    for clip in stated["clips"]:
        if not -1 <= clip["label"] < len(stated["classes"]):
            return f"clip {clip['id']} of class {clip['label']}, and there are {len(stated['classes'])}"
        seconds = clip.get("seconds") or 0
        if not (isinstance(seconds, int | float) and 0 <= seconds < _HUGE):
            return f"clip {clip['id']} of {seconds} seconds"
    for fold, splits in stated["folds"].items():
        for split, listed in splits.items():
            if unknown := next((id for id in listed if id not in ids), None):
                return f"split {split} of fold {fold} lists {unknown}, which is none of the clips"
    return None
