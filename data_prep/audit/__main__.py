"""Checks a folder of videos, or of records, before it is used: `lift-flax audit DIR`.

An audit decodes everything.  `audit.json` lists for each file what is bad or odd, `luma.png` shows how dark each split
and class is, and `contact_sheet.png` shows frames of the clips.
"""

import collections
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from lift_flax import command_line
from lift_flax.errors import UserError, run_cli, system_reason
from lift_flax.files import write_text
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import Inspection

from .. import pool
from ..build_flags import at_least
from ..progress import counting
from ..report import in_train_and_test, kind_of
from . import pictures
from .items import Item, find_items, inspect, middle_frame

_SHOWN_FILES = 20


def main(argv: list[str] | None = None) -> None:
    """Runs the command line.

    Raises:
      UserError: the folder holds no video, or the output folder holds something else.
    """
    parser = command_line.parser("Decodes and checks every video of a folder.", "lift-flax audit")
    parser.add_argument("folder", type=Path, metavar="DIR", help="videos, or records")
    parser.add_argument("--out", type=Path, help="folder of the results (default runs/audit-PARENT-NAME)")
    parser.add_argument("--workers", type=at_least(1), default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--time-limit", type=at_least(1), default=600, help="seconds for one video (default 600)")
    parser.add_argument("--class-level", type=at_least(1), help="which folder below DIR names the class, as in build")
    args = parser.parse_args(argv)
    name = "-".join(["audit", *args.folder.resolve().parts[-2:]])
    audit_folder(args.folder, args.out or Path("runs") / name, args.workers, args.time_limit, args.class_level)


def audit_folder(
    folder: Path, out: Path, workers: int, time_limit: float, class_level: int | None = None
) -> dict[str, Any]:
    """Inspects everything in `folder`, writes the results to `out` and prints them.

    Args:
      folder: of videos, or of records.
      out: for the results; made if missing.
      workers: number of processes.
      time_limit: seconds for one video.
      class_level: which folder of a path below `folder` names the class, where two could.

    Returns:
      The content of audit.json.

    Raises:
      UserError: the folder holds no video, or `out` holds something else.
    """
    console = command_line.console(file=sys.stdout, soft_wrap=True)
    _refuse_taken(out, folder)
    items, folds = find_items(folder, class_level)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {out} ({system_reason(error)}); choose another --out") from error
    inspections, bad = _inspect_all(items, workers, time_limit, console)
    content = {name: inspection.content for name, inspection in inspections.items()}
    named = {item.name: item.notes for item in items}
    odd = {name: [*named[name], *inspection.notes] for name, inspection in inspections.items()}
    copies = collections.defaultdict(list)
    for name in sorted(content):
        copies[content[name]].append(name)
    report = {
        "folder": str(folder.resolve()),
        "files": len(items),
        "folds": list(folds),
        "bad": {name: bad[name] for name in sorted(bad)},
        "odd": {name: odd[name] for name in sorted(odd) if odd[name]},
        "copies": [names for names in copies.values() if len(names) > 1],
        "in_train_and_test": in_train_and_test(folds, content),
        "clips": {item.name: _facts(item, inspections[item.name]) for item in items if item.name in inspections},
    }
    write_text(out / "audit.json", json.dumps(report, indent=2) + "\n")
    good = [item for item in items if item.name in inspections]
    if good:
        pictures.draw_luma(good, inspections, out / "luma.png")
        shown = pictures.clips_to_show(good)
        clips = [item for items in shown.values() for item in items]
        tasks = {item.name: (item.source, inspections[item.name].num_frames) for item in clips}
        with console.status("drawing the contact sheet"):
            frames = dict(pool.run_each(middle_frame, tasks, workers=workers, time_limit=time_limit))
            pictures.draw_contact_sheet(shown, frames, out / "contact_sheet.png")
    _print(report, out, console)
    return report


def _refuse_taken(out: Path, folder: Path) -> None:
    """Raises UserError if `out` holds anything but an earlier audit of `folder`, which is replaced."""
    earlier = out / "audit.json"
    if earlier.is_file():
        try:
            if json.loads(earlier.read_text())["folder"] == str(folder.resolve()):
                return
        except (ValueError, KeyError):
            pass
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} holds something else than an audit of {folder.resolve()}; choose another --out")


def _inspect_all(
    items: list[Item], workers: int, time_limit: float, console: Console
) -> tuple[dict[str, Inspection], dict[str, str]]:
    """(Inspections of good videos, reasons for bad ones), by name, under a progress bar."""
    inspections: dict[str, Inspection] = {}
    bad: dict[str, str] = {}
    tasks = {item.name: (item.source,) for item in items}
    with counting("decoding", len(items), console) as advance:
        for name, result in pool.run_each(inspect, tasks, workers=workers, time_limit=time_limit):
            if isinstance(result, VideoError):
                bad[name] = str(result)
            else:
                inspections[name] = result
            advance()
    return inspections, bad


def _facts(item: Item, inspection: Inspection) -> dict[str, Any]:
    left_out = {"notes", "content", "times"}
    facts = {name: value for name, value in dataclasses.asdict(inspection).items() if name not in left_out}
    return {"split": item.split, "class": item.label, **facts}


def _print(report: dict[str, Any], out: Path, console: Console) -> None:
    """Prints a table of bad and odd files, the first bad files, and where the other results are."""
    table = command_line.table("", "what", "files", "the first")
    for verdict in ("bad", "odd"):
        kinds: dict[str, list[str]] = collections.defaultdict(list)
        for name, reasons in report[verdict].items():
            for reason in [reasons] if isinstance(reasons, str) else reasons:
                kinds[kind_of(reason)].append(name)
        for kind, names in sorted(kinds.items(), key=lambda pair: -len(pair[1])):
            table.add_row(verdict, kind, f"{len(names):,}", names[0])
    for names in report["copies"][:1]:
        table.add_row("odd", "same pictures in two files", f"{len(report['copies']):,}", " = ".join(names[:2]))
    for fold, pairs in report["in_train_and_test"].items():
        where = f"in train and test of fold {fold}" if len(report["folds"]) > 1 else "in train and test"
        table.add_row("leak", where, f"{len(pairs):,}", " = ".join(pairs[0]))
    if table.row_count:
        console.print(table)
    for name in list(report["bad"])[:_SHOWN_FILES]:
        console.print(f"bad  {name}: {report['bad'][name]}")
    if len(report["bad"]) > _SHOWN_FILES:
        console.print(f"... and {len(report['bad']) - _SHOWN_FILES:,} more in {out / 'audit.json'}")
    good = report["files"] - len(report["bad"])
    console.print(
        f"{good:,} of {report['files']:,} decode whole, {len(report['odd']):,} of them are odd; "
        f"see {out / 'contact_sheet.png'}, luma.png and audit.json"
    )


if __name__ == "__main__":
    run_cli(main)
