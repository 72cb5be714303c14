"""What tests of the build share: the command as a user types it, and the records that it wrote."""

import subprocess
import sys
from pathlib import Path

import tensorflow_datasets as tfds

from tests import ROOT


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "data_prep.build", *map(str, args)]


def run_build(*args: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(command(*args), cwd=ROOT, capture_output=True, text=True, timeout=120)


def read_records(out: Path, name: str = "folder") -> dict[str, dict]:
    """Every record by id."""
    source = tfds.builder_from_directory(str(out / name / "1.0.0")).as_data_source("all")
    return {record["id"].decode(): record for record in source}


def whole_clips(folder: Path) -> dict[str, int]:
    """Staged clips and when they were written."""
    paths = folder.iterdir() if folder.is_dir() else []
    return {path.name: path.stat().st_mtime_ns for path in paths if not path.name.startswith(".")}
