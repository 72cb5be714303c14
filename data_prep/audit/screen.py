"""What an audit prints: one screen for an ordinary folder; audit.json holds the rest."""

import collections
from pathlib import Path
from typing import Any

from rich.console import Console

from lift_flax import command_line

from ..report import kind_of

_SHOWN_FILES = 10  # bad ones with their reasons
_ROWS = 15  # classes with a row of their own
_COLUMNS = 3  # folds with columns of their own
_ADVICE = 12  # lines
_SIZES, _FEWEST = 3, 3  # sizes of frames, and smallest classes, that are named


def show(report: dict[str, Any], out: Path, console: Console) -> None:
    """Prints what there is, what is wrong with it, and the advice.

    Args:
      report: as `findings` gives it.
      out: folder of the results.
    """
    if report["clips"]:
        _show_classes(report, console)
        console.print(_measures(report))
    _show_faults(report, console)
    for name in list(report["bad"])[:_SHOWN_FILES]:
        console.print(f"bad  {name}: {report['bad'][name]}")
    if len(report["bad"]) > _SHOWN_FILES:
        console.print(f"... and {len(report['bad']) - _SHOWN_FILES:,} more in {out / 'audit.json'}")
    for line in report["advice"][:_ADVICE]:
        console.print(f"- {line}")
    if len(report["advice"]) > _ADVICE:
        console.print(f"... and {len(report['advice']) - _ADVICE} more lines of advice in {out / 'audit.json'}")
    good = report["files"] - len(report["bad"])
    console.print(
        f"{good:,} of {report['files']:,} decode whole, {len(report['odd']):,} of them are odd; "
        f"see {out / 'contact_sheet.png'}, luma.png and audit.json"
        if good
        else f"none of {report['files']:,} decodes whole; see {out / 'audit.json'}"
    )


def _show_classes(report: dict[str, Any], console: Console) -> None:
    """Prints clips by class and split, or how they are spread where there are many classes."""
    counts = report["counts"]
    if len(counts) <= _COLUMNS:
        columns = [(fold, split) for fold, splits in counts.items() for split in splits]
        heads = [split if len(counts) == 1 else f"{split}, fold {fold}" for fold, split in columns]
        tallies = [counts[fold][split] for fold, split in columns]
    else:
        console.print(f"{len(counts)} folds, whose test clips are {_spread([_tested(of) for of in counts.values()])}")
        heads = ["clips"]
        tallies = [collections.Counter(clip["class"] for clip in report["clips"].values())]
    classes = list(report["seconds"]["classes"])
    if len(classes) > _ROWS:
        for head, tally in zip(heads, tallies, strict=True):
            fewest = sorted(classes, key=lambda name: tally[name])[:3]  # used at once
            named = ", ".join(f"{name} {tally[name]:,}" for name in fewest)
            numbers = _spread([tally[name] for name in classes])
            console.print(
                f"{head}: {sum(tally.values()):,} clips in {len(classes)} classes, {numbers} each: {named}, ..."
            )
        return
    table = command_line.table("class", *heads, "seconds", "mean luma")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in classes:
        medians = [f"{report[field]['classes'][name]:.1f}" for field in ("seconds", "mean_luma")]
        table.add_row(name, *[f"{tally[name]:,}" for tally in tallies], *medians)
    table.add_section()
    medians = [f"{report[field]['percentiles']['50']:.1f}" for field in ("seconds", "mean_luma")]
    table.add_row("all", *[f"{sum(tally.values()):,}" for tally in tallies], *medians)
    console.print(table)


def _tested(splits: dict[str, dict[str, int]]) -> int:
    return sum(splits.get("test", {}).values())


def _spread(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _measures(report: dict[str, Any]) -> str:
    """Durations, frames, rates, sizes, brightness and groups in a line."""
    sizes = [f"{size} ({count:,})" for size, count in report["sizes"].items()]
    named = ", ".join(sizes[:_SIZES]) + (f" and {len(sizes) - _SIZES} more sizes" if len(sizes) > _SIZES else "")
    if len(sizes) == 1:
        (named,) = report["sizes"]
    groups = report["groups"]
    return "; ".join(
        (
            f"{_range(report, 'seconds', 1)} s",
            f"{_range(report, 'num_frames', 0)} frames",
            f"{_range(report, 'fps', 2)} frames a second",
            named,
            f"mean luma {_range(report, 'mean_luma', 0)}",
            f"{len(groups['names'])} groups" if groups["names"] else "no groups",
        )
    )


def _range(report: dict[str, Any], field: str, digits: int) -> str:
    low, high = (report[field]["percentiles"][share] for share in ("0", "100"))
    texts = [f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _show_faults(report: dict[str, Any], console: Console) -> None:
    """Prints a table of what is bad, odd or leaks, with the number of files and the first of them."""
    table = command_line.table("", "what", "files", "the first")
    for verdict in ("bad", "odd"):
        kinds: dict[str, list[str]] = collections.defaultdict(list)
        for name, reasons in report[verdict].items():
            for reason in [reasons] if isinstance(reasons, str) else reasons:
                kinds[kind_of(reason)].append(name)
        for kind, names in sorted(kinds.items(), key=lambda pair: -len(pair[1])):
            table.add_row(verdict, kind, f"{len(names):,}", names[0])
    for names in report["copies"][:1]:
        table.add_row("odd", "same pictures in several files", f"{len(report['copies']):,}", " = ".join(names[:2]))
    for pair in report["near_duplicates"][:1]:
        count = f"{len(report['near_duplicates']):,}"
        table.add_row("odd", "same footage, near-duplicates", count, f"{pair['one']} ~ {pair['other']}")
    for field, what, sign in (("in_train_and_test", "copies", "="), ("near_in_train_and_test", "near-duplicates", "~")):
        if found := report[field]:
            pairs = [pair for of_fold in found.values() for pair in of_fold]
            where = f"{what} in train and test" + (f", of {len(found)} folds" if len(report["folds"]) > 1 else "")
            table.add_row("leak", where, f"{len({pair[1] for pair in pairs}):,}", f" {sign} ".join(pairs[0]))
    if table.row_count:
        console.print(table)
