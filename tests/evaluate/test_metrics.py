"""Scores on predictions whose answers are known."""

import numpy as np
import pytest
from scipy.special import softmax

from lift_flax.evaluate import metrics, tables
from lift_flax.train.results import is_fitted

LOGITS = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], np.float32))
LABELS = np.array([0, 1, 1, 1])


def test_a_gain_is_of_the_same_clips():
    """Ten scenes of two clips: the student alone is right in three more, the teacher alone in one."""
    groups = [f"g{i // 2}" for i in range(20)]
    ours = np.array([True] * 16 + [False] * 4)
    theirs = np.array([True] * 10 + [False] * 6 + [True, True] + [False] * 2)
    found = metrics.gain(ours, theirs, groups)
    assert found["top1"] == pytest.approx((6 - 2) / 20)
    low, high = found["interval"]
    assert low < 0 < found["top1"] < high  # one scene of ten against three: this may be chance
    assert metrics.gain(ours, theirs, ["a"] * 20) == {"top1": found["top1"], "interval": None}
    bounds = f"({100 * low:+.1f} to {100 * high:+.1f})"
    assert tables.gained(found) == f"student over teacher, on the same clips: +20.0 points {bounds}"
    assert tables.gained(None) == ""


def test_agreement_counts_equal_answers():
    one, other = np.eye(4), np.eye(4)[[0, 1, 3, 3]]
    assert metrics.agreement(one, other) == 0.75


def test_what_is_reported_of_a_network():
    found = metrics.judge(LOGITS, LABELS, ["a", "b", "c", "d"], ("no", "yes", "never"))
    assert found["top1"] == 0.75 and found["top5"] is None
    assert found["per_class"] == {"no": 1.0, "yes": pytest.approx(2 / 3), "never": None}
    assert found["mean_class"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["confusion"] == [[1, 0], [1, 2]]


def test_chance_is_the_share_of_the_most_frequent_class():
    """Of the clips in question, whatever the number of classes; training that is halfway from it to 1 has fitted."""
    assert metrics.chance(LABELS) == 0.75 and metrics.chance(np.array([2, 1, 0])) == pytest.approx(1 / 3)
    assert is_fitted(0.7, 1 / 3) and not is_fitted(0.66, 1 / 3)
    assert is_fitted(1.0, 1.0) and not is_fitted(0.7, 0.5)


def test_calibration_error():
    """Confidences 0.9, 0.6, 0.8, 0.7, each alone in its bin, right but for the second."""
    assert metrics.calibration_error(LOGITS, LABELS) == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4, abs=1e-6)
    certain = np.array([[50.0, 0.0], [0.0, 50.0]], np.float32)
    assert metrics.calibration_error(certain, np.array([0, 1])) == pytest.approx(0, abs=1e-6)


def test_interval_draws_groups_together():
    hits = np.array([True, False] * 50)
    low, high = metrics.interval(hits, [str(i) for i in range(100)])
    assert low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02) and high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)
    # Six scenes, in each of which all clips are alike: only six things were seen, not a hundred and fifty.
    wide = metrics.interval(np.repeat([True, False] * 3, 25), np.repeat(list("abcdef"), 25).tolist())
    assert wide[0] <= 0.17 and wide[1] >= 0.83


def test_interval_of_what_says_little():
    """Wilson's interval for 50 of 50 is 92.9 to 100 %: 1 - z^2 / (n + z^2) with z = 1.96, rounded."""
    groups = [str(i) for i in range(50)]
    reach = 1.96**2 / (50 + 1.96**2)
    assert metrics.interval(np.ones(50, bool), groups) == pytest.approx([1 - reach, 1], abs=1e-5)
    assert metrics.interval(np.zeros(50, bool), groups) == pytest.approx([0, reach], abs=1e-5)
    assert metrics.interval(np.arange(50) < 40, ["one"] * 50) == [0, 1]


def test_a_paired_difference_has_an_interval_over_groups():
    ours, others = np.arange(100) % 4 > 0, np.arange(100) % 4 > 1  # every fourth clip is won, in each scene
    scenes = [str(i // 20) for i in range(100)]
    differences = ours.astype(float) - others
    assert metrics.bootstrap(differences, scenes) == [0.25, 0.25]
    low, high = metrics.bootstrap(np.sort(differences), scenes)  # all of them in the last scenes
    assert low < 0.25 < high
    assert [low, high] == metrics.bootstrap(np.sort(differences), scenes)


def test_views_are_averaged():
    views = np.array([[[2.0, 0.0], [0.0, 1.0]]], np.float32)  # [1, 2, 2]
    np.testing.assert_allclose(metrics.average_views(views, "logits"), [[1.0, 0.5]])
    shares = softmax(metrics.average_views(views, "softmax"), axis=-1)
    np.testing.assert_allclose(shares, softmax(views, axis=-1).mean(axis=1), rtol=1e-6)


def test_cross_entropy():
    assert metrics.cross_entropy(LOGITS, LABELS) == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean(), rel=1e-6)
