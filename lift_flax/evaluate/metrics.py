"""Accuracies, calibration and confidence intervals of logits whose labels are known.

SciPy is imported inside the functions: commands that do not score must not wait for it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

_CONFIDENCE = 0.95  # of the intervals
_FEWEST_GROUPS = 5  # fewer scenes or actors say nothing about others


def score(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], classes: tuple[str, ...]) -> dict:
    """Computes accuracies as shares from 0 to 1.

    Returns:
      "top1"; "top5", None with fewer than six classes; "per_class" {name: top-1 of its clips, None without any}.
    """
    return _score(_ranked(logits), labels, classes)


def _ranked(logits: Float[np.ndarray, "N K"]) -> Int[np.ndarray, "N K"]:
    """Returns the classes of each clip, the likeliest first; the first of equal ones is before the others."""
    return np.argsort(-logits, axis=1, kind="stable")


def _score(order: Int[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], classes: tuple[str, ...]) -> dict:
    hits = order[:, 0] == labels
    top5 = float((order[:, :5] == labels[:, None]).any(axis=1).mean()) if len(classes) >= 6 else None
    per_class = {
        name: float(hits[labels == label].mean()) if (labels == label).any() else None
        for label, name in enumerate(classes)
    }
    return {"top1": float(hits.mean()), "top5": top5, "per_class": per_class}


def judge(
    logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], groups: list[str], classes: tuple[str, ...]
) -> dict:
    """Computes all that is reported for one network on one split.

    Args:
      groups: scene or actor of each clip; clips of one group are alike, so `interval` draws them together.
    Returns:
      What `score` gives, and "mean_class" (mean of the class accuracies), "interval" (of top-1), "ece",
      "confusion" (counts).
    """
    order = _ranked(logits)
    scores, hits = _score(order, labels, classes), order[:, 0] == labels
    present = [share for share in scores["per_class"].values() if share is not None]
    return {
        **scores,
        "mean_class": float(np.mean(present)),
        "interval": interval(hits, groups),
        "ece": calibration_error(logits, labels),
        "confusion": confusion(logits, labels).tolist(),
    }


def agreement(one: Float[np.ndarray, "N K"], other: Float[np.ndarray, "N K"]) -> float:
    """The share of clips for which both networks name the same class."""
    return float(np.mean(_ranked(one)[:, 0] == _ranked(other)[:, 0]))


def chance(labels: Int[np.ndarray, "N"]) -> float:
    """Computes the accuracy of naming the most frequent class of these clips every time."""
    return float(np.bincount(labels).max() / len(labels))


def interval(hits: Bool[np.ndarray, "N"], groups: list[str], draws: int = 2000) -> list[float]:
    """Estimates the 95 % interval of an accuracy: percentiles of a bootstrap that draws whole groups with replacement.

    The same input gives the same draws.  If all hits agree, every draw agrees too; the interval is then Wilson's, for
    as many trials as there are groups.  With fewer than five groups it is 0 to 1.
    """
    names = np.unique(groups)
    if len(names) < _FEWEST_GROUPS:
        return [0.0, 1.0]
    if hits.all() or not hits.any():
        from scipy.stats import binomtest

        wilson = binomtest(len(names) * int(hits.all()), len(names)).proportion_ci(_CONFIDENCE, method="wilson")
        return [float(wilson.low), float(wilson.high)]
    return bootstrap(hits, groups, draws)


def gain(ours: Bool[np.ndarray, "N"], theirs: Bool[np.ndarray, "N"], groups: list[str]) -> dict:
    """How much more of the same clips one network has right than another.

    Returns:
      "top1", the difference of the accuracies, and its "interval", of a bootstrap that draws whole groups; None with
      fewer than five of them.
    """
    differences = ours.astype(float) - theirs
    known = len(np.unique(groups)) >= _FEWEST_GROUPS
    return {"top1": float(differences.mean()), "interval": bootstrap(differences, groups) if known else None}


def bootstrap(
    values: Float[np.ndarray, "N"] | Bool[np.ndarray, "N"], groups: Sequence[str], draws: int = 2000
) -> list[float]:
    """Estimates the 95 % interval of the mean of `values`, whole groups of which are drawn with replacement.

    The same input gives the same draws.
    """
    names, index = np.unique(groups, return_inverse=True)
    total = np.bincount(index, values, minlength=len(names))
    count = np.bincount(index, minlength=len(names))
    rng, means = np.random.default_rng(0), []
    for _ in range(draws):  # one at a time: all draws of a large data set would fill the memory
        chosen = rng.integers(len(names), size=len(names))
        means.append(total[chosen].sum() / count[chosen].sum())
    return np.percentile(means, [2.5, 97.5]).tolist()


def calibration_error(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], bins: int = 15) -> float:
    """Computes the expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy in equal bins."""
    from scipy.special import softmax

    shares = softmax(logits, axis=1)
    confidence, hits = shares.max(axis=1), shares.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, hits - confidence, minlength=bins)  # sums over each bin
    return float(np.abs(gaps).sum() / len(labels))


def average_views(logits: Float[np.ndarray, "N V K"], average: str) -> Float[np.ndarray, "N K"]:
    """Averages the answers of V views: mean "logits", or for "softmax" the logarithm of the mean probability."""
    if average == "logits":
        return logits.mean(axis=1)
    from scipy.special import softmax

    return np.log(np.maximum(softmax(logits, axis=-1).mean(axis=1), np.finfo(np.float32).tiny))


def cross_entropy(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> float:
    """Computes the mean cross-entropy of the clips, in nats."""
    from scipy.special import log_softmax

    return float(-np.take_along_axis(log_softmax(logits, axis=1), labels[:, None], axis=1).mean())


def confusion(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> Int[np.ndarray, "K K"]:
    """Counts clips by true class (row) and predicted class (column)."""
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (labels, logits.argmax(axis=1)), 1)
    return counts
