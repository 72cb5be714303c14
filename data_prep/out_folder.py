"""The folder of a build, --out: what an earlier build left in it."""

from pathlib import Path
from typing import Any

from lift_flax.errors import UserError
from lift_flax.files import record_files


def read_older(out: Path, *, overwrite: bool) -> dict[str, Any] | None:
    """What prep_report.json says of an older build in `out`; None where there is none, or none that can be kept.

    Raises:
      UserError: the file is damaged or that of another program, and may not be replaced.
    """
    if not (out / "prep_report.json").exists():
        return None
    try:
        return record_files.read_report(out, "move it, choose another --out, or replace it with --overwrite")
    except UserError:
        if not overwrite:
            raise
        return None
