"""The notebook of `examples/` runs from its first cell to its last, and shows what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

NOTEBOOK = ROOT / "examples" / "train_and_explain.ipynb"
# In a process of its own: kernels and sockets of Jupyter warn of what is not ours.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=sys.argv[2])
nbformat.write(notebook, sys.argv[3])
"""


def _outputs(path: Path) -> list[list[dict]]:
    """What each cell of code has shown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


def _text(outputs: list[dict]) -> str:
    return "".join("".join(output.get("text") or output["data"].get("text/plain", "")) for output in outputs)


@pytest.mark.slow
def test_notebook(tmp_path: Path):
    assert _outputs(NOTEBOOK) == [[]] * len(_outputs(NOTEBOOK)), "it is kept without outputs"
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": places, "TMPDIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOK), str(tmp_path), str(tmp_path / "done.ipynb")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    drawn, built, trained, predicted, explained, embedded = map(_text, _outputs(tmp_path / "done.ipynb"))
    assert "clips in" in drawn and "clips in" in built
    assert '"student"' in trained.replace("'", '"') and "'teacher'" in trained
    answers = predicted.splitlines()
    right = [line.split()[0].split("/")[0] == line.split()[1] for line in answers]
    assert len(right) >= 4 and sum(right) >= len(right) / 2, predicted  # chance is a third
    assert len(embedded.splitlines()) == len(right)
    (picture,) = _outputs(tmp_path / "done.ipynb")[4]
    assert "image/png" in picture["data"]
