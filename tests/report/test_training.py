"""Curves are means over epochs, and runs of an earlier version show what they have."""

import json

import pytest

from lift_flax.report import training
from tests.report.page_tools import build, curve_lines, names, rebuild


def test_epoch_means():
    points = [(0.5, 1.0), (1.0, 3.0), (1.25, 5.0), (3.0, 7.0)]
    assert training.epoch_means(points) == [(1.0, 2.0), (2.0, 5.0), (3.0, 7.0)]


def test_curves_are_the_means_that_training_wrote():
    """The loss of a teacher and both accuracies; of a student's single terms, the means of its logged steps."""
    lines = list(curve_lines(["teacher", "student"], validation=True))
    teacher, student = (training.curves(lines, phase) for phase in ("teacher", "student"))
    titles = ["Cross-entropy", "Distance to the teacher", "Top-1 accuracy", "Learning rate"]
    assert list(student) == titles and list(teacher) == [titles[0], *titles[2:]]
    assert teacher["Cross-entropy"]["train"] == [
        (epoch, pytest.approx(2.4 / (4 * epoch) ** 0.5 + 0.1)) for epoch in range(1, 6)
    ]
    for curves in (teacher, student):
        assert curves["Top-1 accuracy"]["train"] == [(epoch, 4 * epoch / 26) for epoch in range(1, 6)]
        assert curves["Top-1 accuracy"]["validation"] == [(epoch, 4 * epoch / 30) for epoch in range(1, 6)]
        assert [rate for _, rate in curves["Learning rate"]["train"]][-1] == 0
    first = [1.2 / step**0.5 for step in (1, 2, 4)]  # the third one was not finite
    assert student["Cross-entropy"]["train"][0] == (1.0, pytest.approx(sum(first) / 3))
    assert len(student["Distance to the teacher"]["train"]) == 5


def test_a_run_of_an_earlier_version_shows_what_it_has(tmp_path):
    """No counts of parameters, no accuracy in training, no learning rate; curves are the means of logged steps."""
    _, page, *_ = build(tmp_path / "run", names(3), earlier=True)
    for row in ("parameters – –", "epochs 8 20", "steps 20 20", "checkpoint used gone gone"):
        assert row in page.text
    assert page.tags.count("svg") == 5
    assert "in training" not in page.text and "Learning rate" not in page.text and "not fitted" not in page.text


def test_results_of_an_earlier_version_are_completed(tmp_path):
    """A results.json without intervals, means of classes and calibration gives the same page."""
    text, _, workdir, _ = build(tmp_path / "run", names(11))
    results = json.loads((workdir / "results.json").read_text())
    for network in ("teacher", "student"):
        for name in ("mean_class", "interval", "ece"):
            del results[network][name]
    (workdir / "results.json").write_text(json.dumps(results))
    assert rebuild(workdir).text == text
