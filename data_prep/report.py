"""The results of a build: `prep_report.json`, `folds.json`, and a table on the screen."""

import collections
import importlib.metadata
import math
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lift_flax import command_line
from lift_flax.video import flow_codes

from .sources.video_list import VideoList
from .staging import StagedClip

_SIDE_BY_SIDE = 3  # folds whose counts stand beside each other


def make_report(videos: VideoList, staged: dict[str, StagedClip], rejected: dict[str, str]) -> dict[str, Any]:
    """The facts for prep_report.json.

    Args:
      videos: the clips in the records.
      staged: the encoded clip of each id.
      rejected: reasons by id for the clips that were left out.
    """
    return {
        "counts": videos.counts(),
        "mean_luma": _luma(videos, staged),
        "all_frames": all(clip.num_frames == clip.source.num_frames for clip in staged.values()),
        "durations": _durations([staged[clip.id].seconds for clip in videos.clips]),
        "frames": sum(staged[clip.id].num_frames for clip in videos.clips),
        **_flow([staged[clip.id] for clip in videos.clips]),
        "rejected": [{"id": id, "reason": reason} for id, reason in sorted(rejected.items())],
        "odd": {clip.id: list(notes) for clip in videos.clips if (notes := staged[clip.id].source.notes)},
        "in_train_and_test": in_train_and_test(videos.folds, {c.id: staged[c.id].source.content for c in videos.clips}),
        "versions": {name: importlib.metadata.version(name) for name in ("av", "tensorflow-datasets")},
    }


def make_folds(videos: VideoList, staged: dict[str, StagedClip]) -> dict[str, Any]:
    """The content of folds.json: classes, splits, what folds test on where they are made of groups, and the clips.

    The clips are in the order of the records, each with the digest of its pictures: ids say too little, as two data
    sets may have the same.
    """
    index = [
        {
            "id": clip.id,
            "label": clip.label,
            "group": clip.group,
            "content": staged[clip.id].source.content,
            "seconds": round(float(staged[clip.id].seconds), 3),
        }
        for clip in videos.clips
    ]
    tests_on = {"tests_on": videos.tests_on} if videos.tests_on else {}
    return {"classes": videos.classes, "folds": videos.folds, **tests_on, "clips": index}


def in_train_and_test(folds: dict[str, dict[str, list[str]]], content: dict[str, str]) -> dict[str, list[list[str]]]:
    """{fold: [[id trained on, id tested on], ...]} of test clips with the same pictures as a training clip.

    Args:
      folds: {fold: {split: ids}}.
      content: digest of the pictures of each id (`Inspection.content`).
    """
    leaks: dict[str, list[list[str]]] = {}
    for fold, splits in folds.items():
        trained = {content[id]: id for id in reversed(splits.get("train", [])) if id in content}
        tested = (id for id in splits.get("test", []) if id in content)
        pairs = [[trained[content[id]], id] for id in tested if content[id] in trained]
        if pairs:
            leaks[fold] = pairs
    return leaks


def print_report(report: dict[str, Any], videos: VideoList, console: Console) -> None:
    """Prints the tables of counts, then oddities of the clips and warnings about the splits."""
    if flow := report.get("flow"):
        console.print(
            f"optical flow: {flow['bytes'] / 1e6:,.1f} of {report['bytes'] / 1e6:,.1f} MB, and {flow['seconds']:,.0f} "
            "seconds of one core (--no-flow leaves it out)"
        )
    few = len(videos.folds) <= _SIDE_BY_SIDE
    columns = [(fold, split) for fold, splits in videos.folds.items() for split in splits] if few else []
    console.print(_class_table(report, videos, columns))
    if not few:
        console.print(_fold_table(videos))
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for id, notes in report["odd"].items():
        for note in notes:
            kinds[kind_of(note)].append(id)
    for kind, ids in sorted(kinds.items()):
        console.print(f"odd but used: {kind}: {len(ids):,}, the first is {ids[0]} (prep_report.json names all)")
    for fold, splits in report["counts"].items():
        if untested := [name for name, count in splits["test"].items() if count == 0]:
            console.print(f"warning: fold {fold} has no test clip of {', '.join(untested)}")
    if not videos.official and videos.classes:
        console.print(_groups_line(videos))
    for fold, pairs in report["in_train_and_test"].items():
        trained, tested = pairs[0]
        console.print(
            f"warning: fold {fold} tests on {len(pairs)} clips that it trains on, the first is {tested} = {trained}"
        )


def _groups_line(videos: VideoList) -> str:
    """How many scenes or people are on each side of the split, or that nothing is known of them."""
    group_of = {clip.id: clip.group for clip in videos.clips}
    if not any(group_of.values()):
        return (
            "no groups: clips of one scene or person may be on both sides of the test split, and the test then says "
            "little of new scenes; name them with --group-regex or a column group of --csv"
        )
    fold, splits = next(iter(videos.folds.items()))
    sides = ", ".join(f"{len({group_of[id] for id in ids})} in {split}" for split, ids in splits.items() if ids)
    return f"{len(set(group_of.values()))} groups; in fold {fold}: {sides}"


def _class_table(report: dict[str, Any], videos: VideoList, columns: list[tuple[str, str]]) -> Table:
    """A row for each class, a column for each (fold, split) of `columns`; one for all clips where there are none."""
    labels = collections.Counter(clip.label for clip in videos.clips)
    table = command_line.table("class", *([f"{s}, fold {f}" for f, s in columns] or ["clips"]), "mean luma")
    for label, name in enumerate(videos.classes):
        counts = [report["counts"][fold][split][name] for fold, split in columns] or [labels[label]]
        table.add_row(name, *map(str, counts), f"{report['mean_luma']['classes'][name]:.1f}")
    table.add_section()
    counts = [len(videos.folds[fold][split]) for fold, split in columns] or [len(videos.clips)]
    table.add_row("all", *map(str, counts), "")
    return table


def _fold_table(videos: VideoList) -> Table:
    """A row for each of many folds."""
    splits = list(next(iter(videos.folds.values())))
    table = command_line.table("fold", "tests on", *splits)
    for fold, members in videos.folds.items():
        table.add_row(fold, videos.tests_on.get(fold, ""), *(str(len(members[split])) for split in splits))
    return table


def kind_of(note: str) -> str:
    """The kind of a note or reason: its words before the figures."""
    return note.split(":")[0].split(" (")[0]


def _flow(clips: list[StagedClip]) -> dict[str, Any]:
    """Bytes of all parts; and of optical flow its own bytes, seconds of work, and how strong it is (in pixels)."""
    total = sum(_bytes(size) for clip in clips for size in clip.sizes.values())
    if not all("flow" in clip.sizes for clip in clips):
        return {"bytes": total}
    squares = sum(clip.num_frames * clip.flow_level**2 for clip in clips) / sum(clip.num_frames for clip in clips)
    flow = {
        "bytes": sum(_bytes(clip.sizes["flow"]) for clip in clips),
        "seconds": round(sum(clip.flow_seconds for clip in clips), 1),
        "rms_pixels": round(math.sqrt(squares) * flow_codes.FLOW_RANGE / flow_codes.STEPS, 4),
    }
    return {"bytes": total, "flow": flow}


def _bytes(size: int | list[int]) -> int:
    return sum(size) if isinstance(size, list) else size


def _luma(videos: VideoList, staged: dict[str, StagedClip]) -> dict[str, dict[str, float]]:
    """Mean luma (0 to 255) of each class, and percentiles over all clips."""
    luma = {clip.id: staged[clip.id].source.mean_luma for clip in videos.clips}
    by_class = {
        name: round(float(np.mean([luma[clip.id] for clip in videos.clips if clip.label == label])), 2)
        for label, name in enumerate(videos.classes)
    }
    return {"classes": by_class, "percentiles": _percentiles(list(luma.values()))}


def _durations(durations: list[float]) -> dict[str, Any]:
    """Seconds of all sources together, and percentiles over the clips."""
    return {"all": round(sum(durations), 2), "percentiles": _percentiles(durations)}


def _percentiles(values: list[float]) -> dict[str, float]:
    shares = (5, 25, 50, 75, 95)
    return {str(p): round(float(v), 2) for p, v in zip(shares, np.percentile(values, shares), strict=True)}
