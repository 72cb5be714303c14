"""What predictions are worth: accuracies, calibration, and how sure these numbers are."""

import numpy as np
from jaxtyping import Bool, Float, Int


def score(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], classes: tuple[str, ...]) -> dict:
    """Accuracies as shares between 0 and 1.

    Returns:
      "top1"; "top5", None with fewer than six classes; "per_class" {name: top-1 of its examples, None without any}.
    """
    order = np.argsort(-logits, axis=1, kind="stable")
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
    """All that is reported of one network on one split.

    Args:
      groups: scene or actor of each example: clips of one are alike, so `interval` draws them together.
    Returns:
      What `score` gives, and "mean_class" (mean of the classes' accuracies), "interval" (of top-1), "ece",
      "confusion" (counts).
    """
    scores = score(logits, labels, classes)
    hits = np.argsort(-logits, axis=1, kind="stable")[:, 0] == labels
    present = [share for share in scores["per_class"].values() if share is not None]
    return {
        **scores,
        "mean_class": float(np.mean(present)),
        "interval": interval(hits, groups),
        "ece": calibration_error(logits, labels),
        "confusion": confusion(logits, labels).tolist(),
    }


def interval(hits: Bool[np.ndarray, "N"], groups: list[str], draws: int = 2000) -> list[float]:
    """95 % interval of the accuracy: percentiles of a bootstrap that draws whole groups with replacement.

    The draws are the same for the same input.  Where all hits agree no draw differs, and Wilson's interval for as many
    trials as there are groups stands instead.  Fewer than five groups say nothing of others: 0 to 1.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 5:
        return [0.0, 1.0]
    if hits.all() or not hits.any():
        reach = 1.96**2 / (len(names) + 1.96**2)
        return [1 - reach, 1.0] if hits.all() else [0.0, reach]
    right = np.bincount(index, hits, minlength=len(names))
    count = np.bincount(index, minlength=len(names))
    rng, shares = np.random.default_rng(0), []
    for _ in range(draws):  # one at a time: all of them would fill the memory for a large data set
        chosen = rng.integers(len(names), size=len(names))
        shares.append(right[chosen].sum() / count[chosen].sum())
    return np.percentile(shares, [2.5, 97.5]).tolist()


def calibration_error(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017): mean distance of confidence and accuracy over equal bins."""
    shares = softmax(logits)
    confidence, hits = shares.max(axis=1), shares.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, hits - confidence, minlength=bins)  # sums over each bin
    return float(np.abs(gaps).sum() / len(labels))


def average_views(logits: Float[np.ndarray, "N V K"], how: str) -> Float[np.ndarray, "N K"]:
    """One answer from V views: mean "logits", or for "softmax" the logarithm of the mean probability."""
    if how == "logits":
        return logits.mean(axis=1)
    return np.log(np.maximum(softmax(logits).mean(axis=1), np.finfo(np.float32).tiny))


def softmax(logits: Float[np.ndarray, "*dims K"]) -> Float[np.ndarray, "*dims K"]:
    """Probabilities."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def cross_entropy(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> float:
    """Mean over the examples, in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-np.take_along_axis(logs, labels[:, None], axis=1).mean())


def confusion(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> Int[np.ndarray, "K K"]:
    """Counts by true class (row) and predicted class (column)."""
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (labels, logits.argmax(axis=1)), 1)
    return counts
