"""Temperature and threshold come of validation clips alone, and change no label."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console
from scipy.special import softmax

import lift_flax
from lift_flax.errors import UserError
from lift_flax.evaluate import calibration, metrics
from lift_flax.predict import __main__ as predict
from lift_flax.predict.predictor import Predictor
from lift_flax.runs.calibration import Calibration, calibrations, tempered
from lift_flax.runs.trained import open_trained
from lift_flax.runs.workdir import facts as facts_of
from lift_flax.runs.workdir import read_results
from lift_flax.train.run import train_and_test
from lift_flax.train.screen import summary
from lift_flax.video.decode import decode_frames


def _overconfident(count: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 4 classes that are `factor` times too large, and labels drawn by those that are not."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, 4))
    labels = np.array([rng.choice(4, p=shares) for shares in softmax(logits, axis=1)])
    return (factor * logits).astype(np.float32), labels


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(factor):
    logits, labels = _overconfident(4000, factor)
    found = calibration.calibrate({"logits": logits, "labels": labels})["student"]
    assert found.temperature == pytest.approx(factor, rel=0.06) and found.clips == 4000
    assert found.ece_before == metrics.calibration_error(logits, labels)
    assert found.ece_after < 0.03 and (factor == 1 or found.ece_after < found.ece_before / 3)


def test_a_few_clips_that_are_all_right_make_nothing_certain():
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    found = calibration.calibrate({"logits": logits, "teacher_logits": 5 * logits, "labels": np.array([0, 1, 2, 0, 1])})
    for network, scale in (("student", 1), ("teacher", 5)):
        certain = softmax(scale * logits / found[network].temperature, axis=1).max(axis=1)
        assert certain == pytest.approx([6 / 7] * 5, abs=1e-3)
        assert found[network].threshold == pytest.approx(6 / 7, abs=1e-3)
    assert calibration.calibrate({"logits": logits[:0], "labels": np.zeros(0, int)}) == {}


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([1] * 8 + [0, 1, 1, 0, 0, 0, 0, 0, 0, 0] + [0, 0], 0.5),  # of 11 answers from 0.5 on 10 are right
        ([1] * 20, 0.05),  # all are right: the lowest of the right ones
        ([1, 1, 0, 1, 1, 0, 0, 0, 0, 0] * 2, 0.80),  # none reach 90 %: of five clips and more the best
        ([0] * 20, 0.05),
    ],
)
def test_the_threshold_is_where_nine_of_ten_are_right(right, expected):
    confidence = np.linspace(1, 0.05, 20)
    assert calibration.choose_threshold(confidence, np.array(right, bool)) == pytest.approx(expected)


def test_most_of_the_right_answers_stay_sure_where_all_are_right():
    confidence = np.linspace(0.01, 1, 100)
    assert calibration.choose_threshold(confidence, np.ones(100, bool)) == pytest.approx(0.05)


def test_equal_probabilities_are_on_one_side():
    confidence = np.array([0.9] * 5 + [0.6] * 5)
    hits = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0], bool)
    assert calibration.choose_threshold(confidence, hits) == pytest.approx(0.9)


def test_a_temperature_changes_no_order():
    shares = softmax(np.random.default_rng(0).normal(0, 4, (50, 7)), axis=1).astype(np.float32)
    assert tempered(shares, 1.0) is shares
    for temperature in (0.3, 2.5):
        found = tempered(shares, temperature)
        np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(shares, axis=1))
        np.testing.assert_allclose(found, softmax(np.log(shares) / temperature, axis=1), atol=1e-6)
        assert found.dtype == np.float32


def test_a_run_states_it_and_answers_by_it(validated, records, capsys):
    """Other than the same run without calibration; and the training command once more keeps it."""
    trained = open_trained(validated)
    found, facts, results = trained.calibration, facts_of(validated), read_results(validated)
    assert isinstance(found, Calibration) and trained.teacher_calibration is None
    assert found.clips == len(facts["validation_ids"]) > 0 and found.temperature != 1
    assert results["calibration"] == facts["calibration"] == {"student": vars(found)}
    train_and_test(trained.config, validated)
    assert open_trained(validated).calibration == found
    shown = io.StringIO()
    summary.show_accuracy(results, Console(file=shown, width=200))
    assert f"calibrated on {found.clips} validation clips: temperature {found.temperature:.2f}" in shown.getvalue()

    videos = sorted((records.parent / "videos" / "test").rglob("*.mp4"))
    run, raw = Predictor(trained), Predictor(dataclasses.replace(trained, calibration=None))
    for answer, before in zip(run.each(videos), raw.each(videos), strict=True):
        np.testing.assert_allclose(answer.probabilities, tempered(before.probabilities, found.temperature), atol=1e-6)
        assert answer.label == before.label and before.sure
        assert answer.sure == answer.timeline[0].sure == (answer.probability >= found.threshold)
        assert answer.timeline[0].probability == answer.probability
    capsys.readouterr()
    predict.main([f"--workdir={validated}", str(videos[0]), "--threshold=0.999", "--json"])
    assert json.loads(capsys.readouterr().out)["sure"] is False


@pytest.mark.slow
def test_streams_state_the_same(validated, records):
    video = min((records.parent / "videos" / "test").rglob("*_6.mp4"))
    for threshold in (None, 0.0, 1.0):
        run = lift_flax.load(validated, threshold=threshold)
        frames, stream = decode_frames(video)[:4], run.stream()
        (streamed,) = [answer for frame in frames if (answer := stream.push(frame))]
        np.testing.assert_allclose(streamed.probabilities, run(frames).probabilities, atol=1e-5)
        found = run.trained.calibration.threshold if threshold is None else threshold
        assert streamed.sure == (streamed.probability >= found)


@pytest.mark.slow
def test_scores_are_of_the_stated_probabilities(validated, tmp_path):
    """The calibration error is another one; what is right and what is wrong stays."""
    shutil.copytree(validated, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts_of(validated) | {"calibration": None}))
    stated, results = lift_flax.load(validated).evaluate()["student"], read_results(validated)["student"]
    raw = lift_flax.load(tmp_path / "run").evaluate()["student"]
    assert stated["ece"] == pytest.approx(results["ece"], abs=1e-5) != pytest.approx(raw["ece"], abs=1e-5)
    assert {name: stated[name] for name in ("top1", "confusion")} == {name: raw[name] for name in ("top1", "confusion")}
    page = lift_flax.load(validated).report().read_text()
    assert "Confidence is calibrated on" in page


def test_what_is_wrong_is_said(validated, tmp_path):
    with pytest.raises(UserError, match="threshold=1.5: give a probability, from 0 to 1"):
        Predictor(open_trained(validated), threshold=1.5)
    for damage in ({"student": {"temperature": 1.0}}, {"student": 3}, "high"):
        with pytest.raises(UserError, match=r"run.json is damaged \(calibration\)"):
            calibrations({"calibration": damage}, tmp_path)
    assert calibrations({}, tmp_path) == {}
