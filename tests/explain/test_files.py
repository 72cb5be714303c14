"""The files of an explanation in their folder, where others lie already."""

import json
from pathlib import Path

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.explain import files
from lift_flax.explain.explainer import Explanation

CLASSES = ("down", "right")


def _explanation(levels: int, label: int = 0) -> Explanation:
    rng, t = np.random.default_rng(0), 3
    frames, evenly = rng.integers(0, 256, (t, 32, 32, 3)).astype(np.uint8), np.full(t, 1 / t)
    maps = rng.random((t, 2, 2))
    spectra = rng.random((levels, 2, t, 8))
    return Explanation(frames, np.array([0.7, 0.3]), label, evenly, evenly, maps, maps, "layer2", evenly, spectra)


def _write(explanation: Explanation, folder: Path) -> None:
    files.write_files(explanation, CLASSES, folder, name="clip.mp4", seconds=1.0)


def test_a_spectrum_of_an_older_explanation_does_not_stay(tmp_path):
    _write(_explanation(levels=1), tmp_path)
    assert (tmp_path / "spectrum.png").exists()
    (tmp_path / "notes.txt").write_text("mine")
    _write(_explanation(levels=0, label=1), tmp_path)
    assert json.loads((tmp_path / "explain.json").read_text())["class"] == "right"
    left = ["explain.gif", "explain.json", "explain.mp4", "notes.txt", "sheet.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_an_explanation_that_fails_leaves_the_older_one_whole(tmp_path):
    _write(_explanation(levels=1), tmp_path)
    (tmp_path / "sheet.png").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "sheet.png").mkdir()  # which no file can replace
    with pytest.raises(IsADirectoryError):
        _write(_explanation(levels=0, label=1), tmp_path)
    (tmp_path / "sheet.png").rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["explain.json", "spectrum.png"])
def test_what_is_there_is_replaced_only_on_request(tmp_path, name):
    files.check_folder(tmp_path, overwrite=False)
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"{name} exists: .* --overwrite \(in Python overwrite=True\)"):
        files.check_folder(tmp_path, overwrite=False)
    files.check_folder(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="is a file: choose another folder"):
        files.check_folder(tmp_path / name, overwrite=True)
