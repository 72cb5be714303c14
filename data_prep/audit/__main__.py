"""Checks a folder of videos, or of records, before it is used: `lift-flax audit DIR`.

An audit decodes everything.  It says what there is to train on, what is bad or odd, what leaks from training into the
test, and what to do.  `audit.json` holds all of it, `luma.png` shows how dark each split and class is, and
`contact_sheet.png` shows frames of the clips.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16
from rich.console import Console

from lift_flax import command_line
from lift_flax.errors import UserError, run_cli, system_reason
from lift_flax.files import write_text
from lift_flax.video.decode import VideoError
from lift_flax.video.guarded import pool
from lift_flax.video.inspection import Inspection

from ..build_flags import at_least
from ..progress import counting
from . import pictures, screen
from .findings import findings
from .items import Item, find_items, inspect, middle_frame

_LONGEST, _LONGEST_OF_ALL = 20.0, 100_000.0  # s of a clip, and of all, that are compared: each takes 10 kB


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
    parser.add_argument("--csv", type=Path, help="CSV with classes, splits and groups, as in build")
    parser.add_argument("--group-regex", help="its first capture group in a clip's path is the clip's group")
    args = parser.parse_args(argv)
    name = "-".join(["audit", *args.folder.resolve().parts[-2:]])
    out = args.out or Path("runs") / name
    arranged = {"class_level": args.class_level, "csv_file": args.csv, "group_regex": args.group_regex}
    audit_folder(args.folder, out, args.workers, args.time_limit, **arranged)


def audit_folder(folder: Path, out: Path, workers: int, time_limit: float, **arranged: Any) -> dict[str, Any]:
    """Inspects everything in `folder`, writes the results to `out` and prints them.

    Args:
      folder: of videos, or of records.
      out: for the results; made if missing.
      workers: number of processes.
      time_limit: seconds for one video.
      arranged: how the folder is arranged, for `find_items`.

    Returns:
      The content of audit.json.

    Raises:
      UserError: the folder holds no video, or `out` holds something else.
    """
    console = command_line.console(file=sys.stdout, soft_wrap=True)
    _refuse_taken(out, folder)
    items, folds = find_items(folder, **arranged)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {out} ({system_reason(error)}); choose another --out") from error
    inspected, bad = _inspect_all(items, workers, time_limit, console)
    with console.status("comparing the clips"):
        report = findings(folder, items, folds, inspected, bad)
    write_text(out / "audit.json", json.dumps(report, indent=2) + "\n")
    good = [item for item in items if item.name in inspected]
    for picture in (out / "luma.png", out / "contact_sheet.png"):
        picture.unlink(missing_ok=True)  # of an earlier audit
    if good:
        facts = {name: inspection for name, (inspection, _) in inspected.items()}
        pictures.draw_luma(good, facts, out / "luma.png")
        shown = pictures.clips_to_show(good)
        clips = [item for items in shown.values() for item in items]
        tasks = {item.name: (item.source, facts[item.name].num_frames) for item in clips}
        with console.status("drawing the contact sheet"):
            frames = dict(pool.run_each(middle_frame, tasks, workers=workers, time_limit=time_limit))
            pictures.draw_contact_sheet(shown, frames, out / "contact_sheet.png")
    screen.show(report, out, console)
    return report


def _refuse_taken(out: Path, folder: Path) -> None:
    """Raises UserError if `out` holds anything but an earlier audit of `folder`, which is replaced."""
    earlier = out / "audit.json"
    if earlier.is_file():
        try:
            if json.loads(earlier.read_text())["folder"] == str(folder.resolve()):
                return
        except (ValueError, KeyError, TypeError):
            pass
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} holds something else than an audit of {folder.resolve()}; choose another --out")


def _inspect_all(
    items: list[Item], workers: int, time_limit: float, console: Console
) -> tuple[dict[str, tuple[Inspection, Float16[np.ndarray, "N P"]]], dict[str, str]]:
    """(What `inspect` says of good videos, reasons for bad ones), by name, under a progress bar."""
    inspected: dict[str, tuple[Inspection, Float16[np.ndarray, "N P"]]] = {}
    bad: dict[str, str] = {}
    longest = min(_LONGEST, _LONGEST_OF_ALL / len(items))
    tasks = {item.name: (item.source, longest) for item in items}
    with counting("decoding", len(items), console) as advance:
        for name, result in pool.run_each(inspect, tasks, workers=workers, time_limit=time_limit):
            if isinstance(result, VideoError):
                bad[name] = str(result)
            else:
                inspected[name] = result
            advance()
    return inspected, bad


if __name__ == "__main__":
    run_cli(main)
