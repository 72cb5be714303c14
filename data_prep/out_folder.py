"""The folder of a build, --out: what an earlier build left in it, and what others did.

A build works in OUT/.staging, which holds a lock, staged clips, new records, and a mark while new records replace older
ones.
"""

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any

from lift_flax.errors import UserError
from lift_flax.files import record_files

INSTALLING = "installing"  # the mark: records or folds.json in OUT may be those of a build that was killed
_LOCK, _CLIPS, _RECORDS = "lock", "clips", "records"
_STAGED = re.compile(r"[0-9a-f]{32}|\.[0-9a-f]{32}\.\d+\.part")


def read_older(out: Path, *, overwrite: bool) -> dict[str, Any] | None:
    """What prep_report.json says of an older build in `out`; None where there is none, or none that can be kept.

    Raises:
      UserError: the file is damaged or that of another program, and may not be replaced.
    """
    try:
        (out / "prep_report.json").read_bytes()  # other errors of the file system say more than that it is damaged
    except FileNotFoundError:
        return None
    try:
        return record_files.read_report(out, "move it, choose another --out, or replace it with --overwrite")
    except UserError:
        if not overwrite:
            raise
        return None


def refuse_foreign(out: Path, old: dict[str, Any] | None) -> None:
    """Raises UserError where `out` holds something in the place of a file or folder that a build writes.

    Args:
      old: prep_report.json of an older build there.
    """
    work = out / ".staging"
    if foreign := _foreign(work):
        raise _in_the_way(foreign)
    if old is None and (out / "folds.json").exists() and not (work / INSTALLING).exists():
        raise _in_the_way(out / "folds.json")


def _in_the_way(path: Path) -> UserError:
    return UserError(f"{path} is in the way; move it, choose another --out, or replace it with --overwrite")


def _foreign(work: Path) -> Path | None:
    """The first file in the staging folder that no build has made; the folder, if no build has ever locked it."""
    inside = sorted(work.iterdir()) if work.is_dir() else []
    own = {_LOCK, _CLIPS, _RECORDS, INSTALLING}
    clips = sorted((work / _CLIPS).iterdir()) if (work / _CLIPS).is_dir() else []
    for path in (*inside, *clips):
        if not (path.name in own if path.parent == work else _STAGED.fullmatch(path.name)):
            return path
    return work if inside and not (work / _LOCK).is_file() else None


def remove_staging(work: Path) -> None:
    """Removes what builds have made in the staging folder, and the folder unless it holds anything else."""
    shutil.rmtree(work / _RECORDS, ignore_errors=True)
    if (work / _CLIPS).is_dir():
        for path in (work / _CLIPS).iterdir():
            if _STAGED.fullmatch(path.name):
                path.unlink()
    for name in (INSTALLING, _LOCK):
        (work / name).unlink(missing_ok=True)
    for folder in (work / _CLIPS, work):
        with contextlib.suppress(OSError):  # it is not empty, or a link
            folder.rmdir()
