"""A run that commit 7a093b0 made still opens: every command gives the answers that 7a093b0 gave.

The run, its records and those answers are in tests/golden/workdir_7a093b0; make_workdir_7a093b0.py beside it made them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from lift_flax.fields import flat_fields
from lift_flax.runs import config_file
from tests import ROOT

FIXTURE = ROOT / "tests" / "golden" / "workdir_7a093b0"
PLACEHOLDER = b"@FIXTURE@"
CONFIG = "tests/support/small_config.py"
CLOSE = 1e-5  # largest difference of a logit or a probability


@pytest.fixture
def old(tmp_path) -> Path:
    """A copy of the fixture, with its own path in its files."""
    root = tmp_path / "old"
    shutil.copytree(FIXTURE, root)
    for path in root.rglob("*"):
        if path.is_file() and PLACEHOLDER in (content := path.read_bytes()):
            path.write_bytes(content.replace(PLACEHOLDER, str(root).encode()))
    return root


def _call(module: str, *arguments) -> str:
    """Runs a command of the project to its end and returns what it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _expected(name: str) -> dict:
    """What 7a093b0 answered."""
    return json.loads((FIXTURE / "expected" / name).read_text())


def test_its_config_keeps_every_value(old):
    written = flatten_dict(json.loads((old / "workdir" / "config.json").read_text()), sep=".")
    read = flat_fields(config_file.load(old / "workdir" / "config.json"))
    assert len(written) > 80
    assert written.pop("train.dtype") == "float32" and read["train.precision"] == "tf32"  # which it meant on a GPU
    for name, value in written.items():
        assert read[name] == (tuple(value) if isinstance(value, list) else value), name


def test_predict(old):
    answer = json.loads(_call("lift_flax.predict", f"--workdir={old / 'workdir'}", old / "clip.mp4", "--json"))
    expected = _expected("predict.json")
    assert answer["label"] == expected["label"] and answer["notes"] == expected["notes"]
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=CLOSE)


@pytest.mark.slow
def test_evaluate(old):
    _call("lift_flax.evaluate", f"--workdir={old / 'workdir'}", f"--out={old / 'found.json'}")
    (found,), (expected,) = json.loads((old / "found.json").read_text())["runs"], _expected("evaluate.json")["runs"]
    for name in set(expected) - {"workdir", "records", "teacher", "student"}:
        assert found[name] == expected[name], name
    for network in ("teacher", "student"):
        assert found[network]["ece"] == pytest.approx(expected[network]["ece"], abs=CLOSE)
        for name in set(expected[network]) - {"ece"}:
            assert found[network][name] == expected[network][name], (network, name)


@pytest.mark.slow
def test_explain(old):
    _call("lift_flax.explain", f"--workdir={old / 'workdir'}", old / "clip.mp4", f"--out={old / 'explained'}")
    folder, expected = old / "explained" / "clip", _expected("explain.json")
    found = json.loads((folder / "explain.json").read_text())
    assert found["class"] == expected["class"] and found["activation"]["of"] == expected["activation"]["of"]
    assert found["probability"] == pytest.approx(expected["probability"], abs=CLOSE)
    for name, part in (("relevance", None), ("frame_weights", "main"), ("attention", "map"), ("activation", "map")):
        values = [answer[name] if part is None else answer[name][part] for answer in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-4, atol=CLOSE, err_msg=name)
    for name in ("explain.mp4", "explain.gif", "sheet.png", "spectrum.png"):
        assert (folder / name).stat().st_size > 1000, name


@pytest.mark.slow
def test_report(old):
    results = json.loads((old / "workdir" / "results.json").read_text())
    _call("lift_flax.report", f"--workdir={old / 'workdir'}")
    page = (old / "workdir" / "report.html").read_text()
    for text in (
        *results["classes"],
        *(f"{100 * results[network]['top1']:.1f} %" for network in ("teacher", "student")),
    ):
        assert text in page, text
    assert page.count("data:video/mp4") >= 6  # a film of each test clip


def _train(old: Path) -> dict[str, np.ndarray]:
    """Gives the training command of the run again, with all its fields; returns its test predictions."""
    fields = flat_fields(config_file.load(old / "workdir" / "config.json"))
    command = [f"--config={CONFIG}", f"--workdir={old / 'workdir'}"]
    _call("lift_flax.main", *command, *(f"--config.{name}={value}" for name, value in fields.items()))
    return _predictions(old)


def _predictions(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "workdir" / "test_predictions.npz") as archive:
        return dict(archive)


def _training_curve(workdir: Path) -> dict[tuple[str, int], float]:
    """The loss of every training step, by phase and step."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {(line["phase"], line["step"]): line["loss"] for line in lines if line["split"] == "train"}


@pytest.mark.slow
@pytest.mark.parametrize("lost", [(), ("student/14",)], ids=["scored again", "resumed"])
def test_the_training_command_arrives_at_the_stored_logits(old, lost):
    """Without its end the run is scored again; without its last checkpoint the last epoch is trained again as well."""
    workdir = old / "workdir"
    curve = _training_curve(workdir)
    for name in ("results.json", "test_predictions.npz"):
        (workdir / name).unlink()
    for name in lost:
        shutil.rmtree(workdir / name)
    found, expected = _train(old), _predictions(FIXTURE)
    assert found["ids"].tolist() == expected["ids"].tolist() and found["labels"].tolist() == expected["labels"].tolist()
    for name in ("logits", "teacher_logits"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=CLOSE, err_msg=name)
    assert (workdir / "student" / "14").is_dir() and (workdir / "teacher" / "27").is_dir()
    assert len(curve) == 27 + 14 and _training_curve(workdir) == pytest.approx(curve, rel=1e-4)
