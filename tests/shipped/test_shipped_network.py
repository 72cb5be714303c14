"""The network that comes with lift_flax is the one that its card measured: the same answers, rendered and filmed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shipped import card, measuring, model
from lift_flax.runs.places import SHIPPED_FOLDER
from lift_flax.runs.trained import TrainedRun, open_trained
from tests import ROOT
from tests.support.run_tools import environment

SCORE = """
import json, sys
from pathlib import Path
from benchmarks.shipped import measuring
from lift_flax.predict.predictor import Predictor
from lift_flax.runs.trained import open_trained

rendered, weizmann, dark, arid = (Path(word) if word else None for word in sys.argv[1:])
predictor, found = Predictor(open_trained("shipped")), {}
if rendered:
    found["rendered"] = measuring.rendered_scores(predictor, rendered)[0]
for name, clips in measuring.real_sets(weizmann, dark, arid).items():
    found[name] = measuring.real_scores(predictor, clips)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def shipped() -> TrainedRun:
    if not (SHIPPED_FOLDER / "model.safetensors").is_file():
        pytest.skip(f"no network in {SHIPPED_FOLDER}: `make shipped-model` makes it")
    return open_trained(SHIPPED_FOLDER)


def test_card_page_and_weights_belong_together(shipped):
    measured, text = shipped.facts["measured"], model.page_text(shipped)
    assert measured["weights"] == measuring.weights_digest(SHIPPED_FOLDER)
    assert measured["in_words"] == card.in_words(measured)
    assert (SHIPPED_FOLDER / "README.md").read_text(encoding="utf-8").endswith(f"{text}\n")
    assert card.between(model.PAGE) == text


@pytest.mark.slow
def test_rendered_people_score_what_the_card_says(shipped, tmp_path):
    scored = _scored(tmp_path / "rendered", "", "", "")["rendered"]
    assert _right(scored) == _right(shipped.facts["measured"]["rendered"])


@pytest.mark.slow
def test_real_people_score_what_the_card_says(shipped, real_data, tmp_path):
    measured = shipped.facts["measured"]["real"]
    if not measured:
        pytest.skip("the card has no numbers of real clips: REAL= of `make shipped-model` names them")
    weizmann, dark = real_data / "weizmann", tmp_path / "dark"
    darken = [sys.executable, "-m", "lift_flax.cli", "darken", f"--videos={weizmann}", f"--luma={measuring.LUMA}"]
    subprocess.run([*darken, f"--out={dark}"], cwd=ROOT, check=True, capture_output=True)
    found = _scored("", weizmann, dark, real_data / "arid_subset")
    assert found.keys() == measured.keys()
    for name, scores in measured.items():
        for among in ("among_these", "among_all"):
            assert _right(found[name][among]) == _right(scores[among]), (name, among)


@pytest.mark.slow
def test_it_is_a_start_for_other_classes(shipped, records, tmp_path):
    """As anybody uses it who has few dark clips, on three classes that it does not know."""
    flags = ["--config=own:tiny", f"--config.data.dir={records}", "--workdir=run"]
    for phase in ("teacher", "student"):
        flags += [f"--config.train.{phase}_least_steps=0", f"--config.train.{phase}_epochs=1"]
    command = [sys.executable, "-m", "lift_flax.cli", "train", *flags, "--config.log.progress=False"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "auto: train.init_from=shipped: few dark clips" in ran.stdout
    assert "cannot be known" not in ran.stdout
    assert f"arrays from {SHIPPED_FOLDER}" in ran.stdout and "drawn anew: " in ran.stdout
    assert json.loads((tmp_path / "run" / "results.json").read_text())["classes"] == ["down", "right", "still"]


def _scored(*folders: Path | str) -> dict[str, Any]:
    """What the shipped network scores, with the compiler that users have."""
    command = [sys.executable, "-c", SCORE, *map(str, folders)]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment(as_trained=True), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def _right(scores: dict[str, Any]) -> tuple[int, int]:
    return scores["right"], scores["clips"]
