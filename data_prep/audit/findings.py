"""What an audit finds, as audit.json holds it: docs/data.md explains every field."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16

from lift_flax.video.inspection import Inspection

from ..report import in_train_and_test
from .advice import advise
from .items import Folds, Item
from .likeness import Likeness, near_duplicates

_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_NOT_FACTS = {"notes", "content", "times"}


def findings(
    folder: Path,
    items: list[Item],
    folds: Folds,
    inspected: Mapping[str, tuple[Inspection, Float16[np.ndarray, "N P"]]],
    bad: dict[str, str],
) -> dict[str, Any]:
    """All findings.

    Args:
      items: all clips.
      folds: {fold: {split: names}}.
      inspected: (facts, small pictures) of each good clip, by name.
      bad: reasons, by name of the others.
    """
    good = [item for item in items if item.name in inspected]
    content = {name: inspection.content for name, (inspection, _) in inspected.items()}
    odd = {item.name: [*item.notes, *inspected[item.name][0].notes] for item in good}
    pairs, not_compared = near_duplicates({item.name: inspected[item.name][1] for item in good})
    near = [pair for pair in pairs if content[pair.one] != content[pair.other]]
    report = {
        "folder": str(folder.resolve()),
        "files": len(items),
        "folds": list(folds),
        "counts": _counts(good, folds),
        **_measures(good, inspected),
        "groups": _groups(good, folds),
        "bad": {name: bad[name] for name in sorted(bad)},
        "odd": {name: odd[name] for name in sorted(odd) if odd[name]},
        "copies": _copies(content),
        "in_train_and_test": in_train_and_test(folds, content),
        "near_duplicates": [dataclasses.asdict(pair) for pair in near],
        "near_duplicates_not_compared": not_compared,
        "near_in_train_and_test": _near_in_train_and_test(folds, near),
        "clips": {item.name: _facts(item, inspected[item.name][0]) for item in good},
    }
    return {**report, "advice": advise(report)}


def _facts(item: Item, inspection: Inspection) -> dict[str, Any]:
    facts = {name: value for name, value in dataclasses.asdict(inspection).items() if name not in _NOT_FACTS}
    return {"split": item.split, "class": item.label, "group": item.group, **facts}


def _counts(items: list[Item], folds: Folds) -> dict[str, dict[str, dict[str, int]]]:
    """Clips by fold, split and class; clips in no split count as "all"."""
    label = {item.name: item.label for item in items}
    classes = sorted(set(label.values()))
    counts = {}
    for fold, splits in folds.items():
        listed = splits if any(splits.values()) else {"all": list(label)}
        tallies = {split: collections.Counter(label[n] for n in names if n in label) for split, names in listed.items()}
        counts[fold] = {split: {name: tally[name] for name in classes} for split, tally in tallies.items()}
    return counts


def _measures(items: list[Item], inspected: Mapping[str, tuple[Inspection, Any]]) -> dict[str, Any]:
    """Durations, lengths, rates, sizes and brightness: percentiles over the clips, and medians by class."""
    measures: dict[str, Any] = {}
    for name in ("seconds", "num_frames", "fps", "mean_luma"):
        of_class = collections.defaultdict(list)
        for item in items:
            of_class[item.label].append(float(getattr(inspected[item.name][0], name)))
        values = [value for found in of_class.values() for value in found]
        shares = np.percentile(values, _PERCENTILES) if values else []
        measures[name] = {
            "percentiles": {str(p): round(float(v), 2) for p, v in zip(_PERCENTILES, shares, strict=False)},
            "classes": {label: round(float(np.median(found)), 2) for label, found in sorted(of_class.items())},
        }
    sizes = collections.Counter(f"{i.width}x{i.height}" for i, _ in (inspected[item.name] for item in items))
    return {**measures, "sizes": dict(sizes.most_common())}


def _groups(items: list[Item], folds: Folds) -> dict[str, Any]:
    """Which groups there are, which each fold tests on, and which it also trains on."""
    group = {item.name: item.group for item in items if item.group}
    of_split = {
        fold: {split: {group[name] for name in names if name in group} for split, names in splits.items()}
        for fold, splits in folds.items()
    }
    both = {fold: sorted(of.get("train", set()) & of.get("test", set())) for fold, of in of_split.items()}
    return {
        "names": sorted(set(group.values())),
        "clips_without": len(items) - len(group),
        "tested": {fold: sorted(of.get("test", set())) for fold, of in of_split.items()},
        "on_both_sides": {fold: names for fold, names in both.items() if names},
    }


def _copies(content: dict[str, str]) -> list[list[str]]:
    copies = collections.defaultdict(list)
    for name in sorted(content):
        copies[content[name]].append(name)
    return [names for names in copies.values() if len(names) > 1]


def _near_in_train_and_test(folds: Folds, pairs: Iterable[Likeness]) -> dict[str, list[list[str]]]:
    """{fold: [[name trained on, name tested on], ...]}."""
    found: dict[str, list[list[str]]] = {}
    for fold, splits in folds.items():
        trained, tested = set(splits.get("train", [])), set(splits.get("test", []))
        for pair in pairs:
            for one, other in ((pair.one, pair.other), (pair.other, pair.one)):
                if one in trained and other in tested:
                    found.setdefault(fold, []).append([one, other])
    return found
