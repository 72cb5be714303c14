"""A copy of the project to make edits in, as a contributor does, and programs that see them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import ROOT


class EditedCheckout:
    """A copy of the packages in `folder`."""

    def __init__(self, folder: Path):
        self.root = folder / "checkout"
        for package in ("configs", "data_prep", "lift_flax"):
            shutil.copytree(ROOT / package, self.root / package, ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, path: str, text: str) -> None:
        """Writes a new file."""
        assert not (self.root / path).exists()
        (self.root / path).write_text(text)

    def insert(self, path: str, after: str, text: str) -> None:
        """Inserts lines after the line that begins with `after`, of which there is one."""
        lines = (self.root / path).read_text().splitlines(keepends=True)
        (place,) = [number for number, line in enumerate(lines) if line.startswith(after)]
        (self.root / path).write_text("".join([*lines[: place + 1], text, *lines[place + 1 :]]))

    def run(self, program: str) -> str:
        """What a Python program prints that imports the copy; it must end well."""
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", program]
        ran = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
