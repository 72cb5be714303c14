"""Programs that see a small disk: a real file system of a few bytes, mounted for them alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.run_tools import ROOT


def lines_on_small_disk(place: Path | str, size: str, code: str, *arguments: object) -> list[str]:
    """The lines that `code` prints where a file system of `size` is mounted at `place`; skips where root is missing."""
    script = f'mount -t tmpfs -o size={size} none "{place}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here: it takes root")
    command += [sys.executable, "-c", code, *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()
