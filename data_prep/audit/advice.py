"""What the findings of an audit mean for training, in words: what was found, and what to do."""

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np

_DARK, _DAY = 40, 70  # mean luma below which clips are dark, and from which they show daylight
_GAMMA, _LEAST_LIT, _LIT, _MOST_GAMMA = 1.8, 35, 60, 4.0  # the config's; too little light behind it; what to aim at
_LIGHT_RATIO = 2.0  # between training and test clips
_TELLING = 0.6  # share of the spread of brightness that lies between classes
_FEW_CLIPS = 5  # in a class to train on
_UNEVEN = 10  # times as many clips in one class as in another
_FEW_GROUPS = 5  # tested on, below which an interval says nothing
_FRAMES = 30  # of a clip as the network takes it, and
_STORED, _LONG = 64, 30  # frames of a record, and seconds above which they are few
_SMALL = 112  # px of the short side
_SHARE = 0.1  # of the clips, from which a kind is worth a line
_NAMED = 3  # names in a line


def advise(report: dict[str, Any]) -> list[str]:
    """The advice, what spoils a result first.

    Args:
      report: the findings as audit.json holds them.
    """
    if not report["clips"]:
        return ["no file is good: nothing can be trained"]
    parts = (_leaks, _labels, _scenes, _classes, _light, _looks, _lengths, _bad)
    return [line for part in parts for line in part(report)]


def _leaks(report: dict[str, Any]) -> Iterator[str]:
    if both := report["groups"]["on_both_sides"]:
        names = sorted(set().union(*both.values()))
        yield (
            f"{_are('group', names)} on both sides of {_some('fold', list(both))}: the test says little of others; "
            "split by whole groups"
        )
    for field, kind in (("in_train_and_test", "copies"), ("near_in_train_and_test", "near-duplicates")):
        if found := report[field]:
            tested = sorted({pair[1] for pairs in found.values() for pair in pairs})
            trained = next(pair[0] for pairs in found.values() for pair in pairs if pair[1] == tested[0])
            yield (
                f"{_some('fold', list(found))} {'tests' if len(found) == 1 else 'test'} on {kind} of training clips: "
                f"{_some('clip', tested)}; the first shows {trained}; leave them out, or give them one group"
            )
    if "all" in next(iter(report["counts"].values())) and (report["copies"] or report["near_duplicates"]):
        count = len(report["copies"]) + len(report["near_duplicates"])
        yield (
            f"{count} pairs or sets of clips show the same footage: a split that is drawn may put them on both sides; "
            "leave some out, or give them one group"
        )
    if left := report["near_duplicates_not_compared"]:
        yield f"near-duplicates may be missing: {left:,} pairs that look alike were not compared"


def _labels(report: dict[str, Any]) -> Iterator[str]:
    """Footage that is in two classes."""
    clips = report["clips"]
    same = [*(names[:2] for names in report["copies"]), *([p["one"], p["other"]] for p in report["near_duplicates"])]
    wrong = [names for names in same if clips[names[0]]["class"] != clips[names[1]]["class"]]
    if wrong:
        one, other = wrong[0]
        more = f", and {len(wrong) - 1:,} more pairs" if len(wrong) > 1 else ""
        yield (
            f"the same footage is in two classes: {one} ({clips[one]['class']}) and {other} ({clips[other]['class']})"
            f"{more}; correct their classes"
        )


def _scenes(report: dict[str, Any]) -> Iterator[str]:
    groups, clips = report["groups"], len(report["clips"])
    if not groups["names"]:
        yield (
            "no clip names its scene or actor: if some are filmed in one scene, give --group-regex or the column group "
            "of a CSV, or the test shows scenes that were trained on"
        )
        return
    yield from _scenes_of_classes(report["clips"])
    if groups["clips_without"]:
        yield f"{groups['clips_without']:,} of {clips:,} clips name no scene or actor: each counts as its own group"
        return
    few = {fold: names for fold, names in groups["tested"].items() if 0 < len(names) < _FEW_GROUPS}
    if len(few) == 1 == len(report["folds"]):
        ((_, names),) = few.items()
        come = f"one group, {names[0]}" if len(names) == 1 else f"{len(names)} groups, {', '.join(names)}"
        yield (
            f"all test clips come from {come}: they say nothing of others, and the interval is 0 to 100 %; test on "
            f"{_FEW_GROUPS} or more (build --test-groups), or on each in turn (build --folds=groups)"
        )
    elif few:
        yield f"{len(few)} folds test on fewer than {_FEW_GROUPS} groups: train --folds=all pools them"


def _scenes_of_classes(clips: dict[str, dict]) -> Iterator[str]:
    groups_of = collections.defaultdict(set)
    for clip in clips.values():
        if clip["group"] and clip["class"] != "unknown":
            groups_of[clip["class"]].add(clip["group"])
    if few := sorted(name for name, groups in groups_of.items() if len(groups) < _FEW_GROUPS):
        fewest = sorted({len(groups_of[name]) for name in few})
        number = f"{fewest[0]}" if len(fewest) == 1 else f"{fewest[0]} to {fewest[-1]}"
        yield (
            f"{_are('class', few)} filmed in {number} scenes or by as many actors: a network may learn these, not the "
            "action; film more, or use luminous=flow, which sees motion alone"
        )


def _classes(report: dict[str, Any]) -> Iterator[str]:
    fold, counts = next(iter(report["counts"].items()))
    kind = "train" if "train" in counts else "all"
    trained = {name: count for name, count in counts[kind].items() if name != "unknown"}
    clips = "training clips" if kind == "train" else "clips"
    few = sorted((count, name) for name, count in trained.items() if count < _FEW_CLIPS)
    for count, name in few[:_NAMED]:
        counted = {0: "no", 1: "one", 2: "two", 3: "three", 4: "four"}[count]
        yield f"{counted} {clips if count != 1 else clips[:-1]} in class {name}: add some, or leave the class out"
    if len(few) > _NAMED:
        yield f"{len(few) - _NAMED} more classes have fewer than {_FEW_CLIPS} {clips}"
    for number, splits in report["counts"].items():
        untested = [name for name, count in splits.get("test", {}).items() if not count and name in trained]
        if untested and len(report["folds"]) == 1:
            yield f"no test clip in {_some('class', untested)}: their accuracy stays unknown"
        elif untested and number == fold:
            yield f"fold {fold} has no test clip in {_some('class', untested)}, and others may lack some too"
    enough = [count for count in trained.values() if count]
    if len(enough) > 1 and max(enough) >= _UNEVEN * min(enough):
        most, least = max(trained, key=lambda name: trained[name]), min(trained, key=lambda name: trained[name] or 1e9)
        yield (
            f"classes are uneven: {trained[most]:,} {clips} in {most}, {trained[least]:,} in {least}; look at the mean "
            f"of the classes, as naming {most} every time is right {100 * max(enough) / sum(enough):.0f} % of the time"
        )


def _light(report: dict[str, Any]) -> Iterator[str]:
    spread = report["mean_luma"]["percentiles"]
    low, median, high = spread["5"], spread["50"], spread["95"]
    lit = 255 * (median / 255) ** (1 / _GAMMA)
    if median >= _DAY:
        yield (
            f"mean luma {median:.0f}: daylight; use luminous=flow (records built with --flow) or gamma 1 "
            "(--config.model.luminous.gamma=1)"
        )
    elif lit < _LEAST_LIT:
        gamma = min(np.log(max(median, 0.5) / 255) / np.log(_LIT / 255), _MOST_GAMMA)
        yield (
            f"mean luma {median:.1f}: so dark that gamma {_GAMMA} lifts it to {lit:.0f} only; try "
            f"--config.model.luminous.gamma={gamma:.1f}"
        )
    else:
        word = "dark" if median < _DARK else "dim"
        yield f"mean luma {median:.0f}: {word}; the usual gamma {_GAMMA} lifts it to {lit:.0f}"
    if low < _DARK and high >= _DAY:
        yield (
            f"from dark to daylight (mean luma {low:.0f} to {high:.0f}): no gamma suits both; see what light costs "
            "with evaluate --illumination"
        )
    train, test = (_luma(report, split) for split in ("train", "test"))
    if train and test and max(train, test) >= _LIGHT_RATIO * max(min(train, test), 1.0):
        yield (
            f"test clips are {'brighter' if test > train else 'darker'} than training clips (mean luma {test:.0f}, "
            f"{train:.0f}): the test also measures the change of light"
        )


def _luma(report: dict[str, Any], split: str) -> float | None:
    found = [clip["mean_luma"] for clip in report["clips"].values() if clip["split"] == split]
    return float(np.median(found)) if found else None


def _looks(report: dict[str, Any]) -> Iterator[str]:
    """What tells a class from others besides the action."""
    clips = [clip for clip in report["clips"].values() if clip["class"] != "unknown"]
    of_class: dict[str, list[dict]] = collections.defaultdict(list)
    for clip in clips:
        of_class[clip["class"]].append(clip)
    if len(of_class) < 2:
        return
    light = {name: np.log2([clip["mean_luma"] + 1 for clip in found]) for name, found in of_class.items()}
    everything = np.concatenate(list(light.values()))
    between = sum(len(values) * (values.mean() - everything.mean()) ** 2 for values in light.values())
    if len(everything) >= 3 * len(light) and everything.std() > 0.25:
        if between / (len(everything) * everything.var()) >= _TELLING:
            middle = {name: float(np.median([clip["mean_luma"] for clip in found])) for name, found in of_class.items()}
            dark, bright = min(middle, key=middle.__getitem__), max(middle, key=middle.__getitem__)
            yield (
                f"brightness tells classes apart (mean luma {middle[dark]:.0f} in {dark}, {middle[bright]:.0f} in "
                f"{bright}): a network may learn the light, not the action; film each class in all light"
            )
    size_of = {name: {f"{clip['width']}x{clip['height']}" for clip in found} for name, found in of_class.items()}
    apart = [name for name in size_of if not size_of[name] & set().union(*(s for n, s in size_of.items() if n != name))]
    if apart:
        sizes = ", ".join(sorted(size_of[apart[0]])[:_NAMED])
        yield (
            f"{_are('class', apart)} of a size that no other class has ({sizes}): the camera tells it; film all "
            "classes with each camera"
        )


def _lengths(report: dict[str, Any]) -> Iterator[str]:
    clips = report["clips"]
    short = [name for name, clip in clips.items() if clip["num_frames"] < _FRAMES]
    long = [name for name, clip in clips.items() if clip["seconds"] > _LONG]
    small = [name for name, clip in clips.items() if min(clip["width"], clip["height"]) < _SMALL]
    if len(short) >= _SHARE * len(clips):
        yield (
            f"{_are('clip', short)} shorter than {_FRAMES} frames, which are repeated; a smaller "
            "--config.data.num_frames suits them"
        )
    if long:
        yield (
            f"{_are('clip', long)} longer than {_LONG} s: records keep {_STORED} frames of each; cut them to the "
            "action, or build with --max-frames=all"
        )
    if len(small) >= _SHARE * len(clips):
        yield f"{_are('clip', small)} smaller than {_SMALL} px: scaled up, they show no more"


def _bad(report: dict[str, Any]) -> Iterator[str]:
    if report["bad"]:
        yield (
            f"{_are('file', list(report['bad']))} bad: build leaves out one in a hundred at most, or any with "
            "--on-bad=skip"
        )


def _some(kind: str, names: list[str]) -> str:
    """Names for a sentence: "clip a", or "7 clips (a, b, c, ...)"."""
    if len(names) == 1:
        return f"{kind} {names[0]}"
    more = ", ..." if len(names) > _NAMED else ""
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"{len(names):,} {plural} ({', '.join(names[:_NAMED])}{more})"


def _are(kind: str, names: list[str]) -> str:
    """The same with its verb."""
    return f"{_some(kind, names)} {'is' if len(names) == 1 else 'are'}"
