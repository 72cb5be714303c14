"""Makes the splits of a user's own videos: a drawn share, groups by name, or several folds of whole groups.

A group (a scene, an actor) is never on both sides of a split.
"""

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from lift_flax.errors import UserError
from lift_flax.video.paths import by_number

from .video_list import SourceClip, some_of

Splits = dict[str, list[str]]  # split -> ids
_SWAPPED = 100  # up to so many groups are exchanged between folds, not only moved


def draw_test(classes: list[str], clips: list[SourceClip], test_share: float, seed: int) -> Splits:
    """Draws groups (or single clips) for testing until each class is as close to its share as whole groups allow.

    Every class keeps at least one training clip and gets at least one test clip.

    Raises:
      UserError: a class has one clip only, or too few groups.
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
                raise UserError(_too_few(name, total[label], [unit for unit in order if units[unit][label]]))
            choose(min(candidates, key=lambda unit: units[unit].total()))
    return {
        "train": [clip.id for clip in clips if _unit(clip) not in chosen],
        "test": [clip.id for clip in clips if _unit(clip) in chosen],
    }


def _too_few(name: str, clips: int, units: list[tuple[str, str]]) -> str:
    """The message about a class that cannot be on both sides."""
    if clips == 1 or units[0][0] == "clip":
        what = "one clip" if clips == 1 else "too few clips"
        return f"class {name} has {what} and cannot be split into train and test; add videos to it"
    groups = ", ".join(sorted(group for _, group in units))
    return (
        f"class {name} cannot be split into train and test: groups stay whole, and its {clips} clips are of "
        f"{len(units)} ({groups}), too few beside the other classes: add videos of others, or group them otherwise"
    )


def _unit(clip: SourceClip) -> tuple[str, str]:
    """The unit that is drawn as a whole: the group of a clip, or a clip without a group."""
    return ("group", clip.group) if clip.group else ("clip", clip.id)


def choose_test(clips: list[SourceClip], text: str) -> Splits:
    """Tests on the groups that are named in `text`, between commas.

    Raises:
      UserError: a clip has no group, or a group is unknown.
    """
    known = {clip.group for clip in _with_groups(clips, "--test-groups")}
    named = [text] if text in known else [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in named if name not in known] or ([] if named else [text]):
        raise UserError(f"--test-groups: no clip is of group {unknown[0]!r}; there are {some_of(known)}")
    return _tested_on(clips, set(named))


def make_folds(
    classes: list[str], clips: list[SourceClip], folds: int | str, seed: int
) -> tuple[dict[str, Splits], dict[str, str]]:
    """Makes folds that test on every clip once.

    Args:
      classes: names, by label.
      clips: each is of a group.
      folds: their number, for folds with whole groups and as even numbers of each class as these allow; or "groups",
        for one fold that tests on each group.
      seed: of the order in which groups that are alike are dealt out.

    Returns:
      ({number of the fold: its splits}, {number of the fold: the groups that it tests on, for people}).

    Raises:
      UserError: a clip has no group, there are too few groups, or one holds all clips of a class.
    """
    groups = sorted({clip.group for clip in _with_groups(clips, "--folds")}, key=by_number)
    row = {group: k for k, group in enumerate(groups)}
    counts = np.zeros((len(groups), len(classes)), np.int64)  # [groups, classes]
    for clip in clips:
        counts[row[clip.group], clip.label] += 1
    count = len(groups) if isinstance(folds, str) else folds
    if count < 2 or count > len(groups):
        raise UserError(
            f"--folds={folds} needs at least two folds and no more than there are groups: {some_of(groups)}"
        )
    for label, name in enumerate(classes):
        (holders,) = np.nonzero(counts[:, label])
        if len(holders) == 1:
            raise UserError(
                f"all clips of class {name} are of group {groups[holders[0]]}, so the fold that tests on it cannot "
                "train on the class; add clips of another group, or leave the class out"
            )
    fold_of = np.arange(count) if isinstance(folds, str) else _deal(counts, count, seed)
    members = [[groups[g] for g in np.flatnonzero(fold_of == fold)] for fold in range(count)]
    splits = {str(number): _tested_on(clips, set(names)) for number, names in enumerate(members, 1)}
    return splits, {str(number): ", ".join(names) for number, names in enumerate(members, 1)}


def given_folds(clips: list[SourceClip], values: Sequence[str]) -> tuple[dict[str, Splits], dict[str, str]]:
    """Folds that each test on the clips with one value; numbers stay, and other names are numbered.

    Args:
      clips: of all folds.
      values: the fold in which each clip is tested.

    Returns:
      As `make_folds`.

    Raises:
      UserError: there is one fold only.
    """
    named = sorted(set(values), key=by_number)
    if len(named) < 2:
        raise UserError(
            f"the column fold has one value only, {named[0]}; each clip is tested in the fold that it names"
        )
    plain = all(name.isdecimal() for name in named)
    number_of = {name: str(int(name)) if plain else str(k) for k, name in enumerate(named, 1)}
    splits = tested_once([clip.id for clip in clips], [number_of[value] for value in values])
    return splits, {} if plain else {number: name for name, number in number_of.items()}


def tested_once(names: Sequence[str], folds: Sequence[str]) -> dict[str, Splits]:
    """{fold: its splits}, in the order of their numbers, where each of `names` is tested in one of `folds`."""
    pairs = list(zip(names, folds, strict=True))
    return {
        number: {
            "train": [name for name, fold in pairs if fold != number],
            "test": [name for name, fold in pairs if fold == number],
        }
        for number in sorted(set(folds), key=by_number)
    }


def _with_groups(clips: list[SourceClip], flag: str) -> list[SourceClip]:
    without = [clip.id for clip in clips if not clip.group]
    if without:
        raise UserError(
            f"{flag} needs the group of each clip, and {len(without)} of {len(clips)} have none, the first is "
            f"{without[0]}; name groups by --group-regex, or in a column group of the CSV"
        )
    return clips


def _tested_on(clips: list[SourceClip], groups: set[str]) -> Splits:
    return {
        "train": [clip.id for clip in clips if clip.group not in groups],
        "test": [clip.id for clip in clips if clip.group in groups],
    }


def _deal(counts: Int[np.ndarray, "G K"], folds: int, seed: int) -> Int[np.ndarray, "G"]:
    """The fold of each group: the largest first to where they fit best, then moved and swapped until nothing helps."""
    total = np.maximum(counts.sum(axis=0), 1)
    weights = 1 / total

    def uneven(loads: Int[np.ndarray, "F K"]) -> float:
        """How far the folds are from even shares of each class and of all clips; a fold with a whole class is worst."""
        shares, sizes = loads * weights, loads.sum(axis=1) / counts.sum()
        spread = ((shares - 1 / folds) ** 2).sum() + ((sizes - 1 / folds) ** 2).sum()
        return float(spread) + 100 * float((shares >= 1).sum() + (sizes == 0).sum())

    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    fold_of, loads = np.zeros(len(counts), np.int64), np.zeros((folds, counts.shape[1]), np.int64)
    for group in order:
        tried = [uneven(loads + np.eye(folds, dtype=np.int64)[:, [f]] * counts[group]) for f in range(folds)]
        fold_of[group] = int(np.argmin(tried))
        loads[fold_of[group]] += counts[group]

    def better(changes: dict[int, int]) -> bool:
        """Makes the changes {group: fold} if they make the folds more even."""
        after = loads.copy()
        for group, fold in changes.items():
            after[fold_of[group]] -= counts[group]
            after[fold] += counts[group]
        if uneven(after) >= uneven(loads) - 1e-12:
            return False
        loads[:] = after
        for group, fold in changes.items():
            fold_of[group] = fold
        return True

    while True:
        changes = [{int(group): fold} for group in order for fold in range(folds)]
        helped = [better(change) for change in changes]
        pairs = itertools.combinations(order.tolist(), 2) if len(counts) <= _SWAPPED else ()
        helped += [better({one: int(fold_of[two]), two: int(fold_of[one])}) for one, two in pairs]
        if not any(helped):
            return fold_of
