"""The card of the network that comes with lift_flax is made of what was measured, and so is the page."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from benchmarks.real_people import RealClip
from benchmarks.shipped import card, measuring, model
from lift_flax.runs.calibration import Calibration
from lift_flax.runs.trained import open_trained
from tests import ROOT
from tests.support.trained_tools import random_trained

TAKEN = {"walk": {"Run": 1, "Walk": 5}, "bend": {"Pick": 3}}
SCORES = {"right": 8, "clips": 9, "interval": [0.5, 1.0], "taken_for": TAKEN, "sure": 6, "sure_right": 5}
REAL = {"classes": ["Pick", "Run", "Walk"], "groups": 3, "among_these": SCORES, "among_all": {**SCORES, "right": 6}}
MEASURED = {
    "weights": "0" * 64,
    "made": {"clips": 3300, "seed": 0, "trainings": 1},
    "rendered": {"seed": 900, "groups": 12, **SCORES, "right": 7},
    "rounding": {"largest_difference": 0.0012, "other_labels": 0},
    "real": {"Weizmann by day": {**REAL, "sure": 4, "sure_right": 3}},
}


def test_every_number_stands_in_the_text():
    one = Calibration(1.25, 0.5, 0.11, 0.04, 300)
    plain = random_trained()
    trained = dataclasses.replace(plain, calibration=one, teacher_calibration=one)
    text = card.body(MEASURED, trained)
    for part in (
        f"`{'0' * 64}`",
        "3300 rendered clips",
        "- rendered people of unseen places: 77.8 % among all classes",
        "- Weizmann by day, real people: 88.9 % among 3 classes, 66.7 % among all",
        "| student | 1.25 | 50 % | 11.0 % | 4.0 % | 300 |",
        "| Weizmann by day | 9 | 4 | 3 |",
        "The likeliest of these 3 classes: 8 right, 88.9 % (50 to 100)",
        "| filmed | Pick | Run | Walk |",
        "| walk |  | 1 | 5 |",
        "`lift-flax build night_figures --scenes=street --seed=900 --clips=9 --size=120 --codec=original --flow`",
    ):
        assert part in text.replace("\n", " ") or part in text, part
    assert max(map(len, text.splitlines())) <= 120
    assert "not calibrated" in card.body(MEASURED, plain)
    assert "Real people" not in card.body({**MEASURED, "real": {}}, trained)
    assert card.in_words(MEASURED) == (
        "trained on rendered people alone; 77.8 % of rendered clips right, 88.9 % of real ones by day among 3 classes"
    )


def test_a_page_keeps_all_but_its_section(tmp_path):
    page = tmp_path / "results.md"
    shutil.copy(ROOT / "docs" / "results.md", page)
    before = page.read_text()
    for text in ("numbers", "others"):
        card.write_page(page, text)
        assert card.between(page) == text
    card.write_page(page, card.between(ROOT / "docs" / "results.md"))
    assert page.read_text().split() == before.split()
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no marks"):
        card.write_page(page, "numbers")


@pytest.mark.slow
def test_a_package_is_written_with_what_was_measured(run, records, tmp_path, monkeypatch):
    """Of the small run and its own test clips, in the place of a trained one and of rendered people."""
    clips = [
        RealClip(path, path.parent.name, path.parent.name, path.stem)
        for path in sorted((records.parent / "videos" / "test").rglob("*.mp4"))
    ]
    monkeypatch.setattr(measuring, "rendered_clips", lambda folder, workers=None: clips)
    package, nothing = tmp_path / "net", {"weizmann": None, "arid": None}
    measured = model.write(run, tmp_path / "out", package, nothing)
    scored = json.loads((run / "results.json").read_text())["student"]
    assert measured["rendered"]["right"] == round(scored["top1"] * len(clips)) and measured["real"] == {}
    trained = open_trained(package)
    assert trained.facts["measured"] == measured and measured["weights"] == measuring.weights_digest(package)
    assert model.page_text(trained) in (package / "README.md").read_text(encoding="utf-8")
    _say_more(package, {"Weizmann by day": {**REAL, "sure": 0, "sure_right": 0}})
    assert [*model.write(run, tmp_path / "out", package, nothing)["real"]] == ["Weizmann by day"]
    _say_more(package, {"Weizmann by day": REAL}, weights="of others")
    assert model.write(run, tmp_path / "out", package, nothing)["real"] == {}


def _say_more(package: Path, real: dict, **more: str) -> None:
    """Puts numbers of real clips into the facts of a package."""
    facts = json.loads((package / "run.json").read_text())
    facts["measured"] |= {"real": real, **more}
    (package / "run.json").write_text(json.dumps(facts))
