"""Calibrates the probabilities of a run on its validation clips: a temperature, and a threshold for "unsure".

SciPy is imported inside the functions: commands that do not score must not wait for it.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from lift_flax.evaluate.metrics import calibration_error
from lift_flax.evaluate.scoring import NETWORKS, SplitLogits
from lift_flax.runs.calibration import Calibration

ACCURACY = 0.9  # of the answers that are sure
KEPT = 0.95  # of the right answers are sure, where the accuracy allows it
_FEWEST, _SMALLEST_SHARE = 5, 0.1  # clips, and share of them, without which a threshold says nothing
_COLDEST, _HOTTEST = 0.05, 20.0  # temperatures


def calibrate(scored: SplitLogits) -> dict[str, Calibration]:
    """{network: its calibration} of what the validation clips scored; empty without any.  Test clips have no part."""
    if not len(scored["labels"]):
        return {}
    return {
        network: _calibration(scored[name], scored["labels"]) for network, name in NETWORKS.items() if name in scored
    }


def with_temperatures(scored: SplitLogits, found: Mapping[str, Calibration]) -> SplitLogits:
    """`scored` with the logits of each calibrated network divided by its temperature; the loss stays as it was."""
    divided = {NETWORKS[name]: scored[NETWORKS[name]] / one.temperature for name, one in found.items()}
    return scored | {name: values.astype(scored[name].dtype) for name, values in divided.items()}


def _calibration(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> Calibration:
    from scipy.special import softmax

    temperature = fit_temperature(logits, labels)
    shares = softmax(logits / temperature, axis=1)
    return Calibration(
        temperature,
        choose_threshold(shares.max(axis=1), shares.argmax(axis=1) == labels),
        calibration_error(logits, labels),
        calibration_error(logits / temperature, labels),
        len(labels),
    )


def fit_temperature(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017), from 0.05 to 20.

    The true class counts as (N + 1) / (N + 2) likely, the others share the rest (Platt 1999): a few clips that are all
    right would else make every answer certain.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    count, classes = logits.shape
    if classes == 1:
        return 1.0
    right = (count + 1) / (count + 2)
    targets = np.full(logits.shape, (1 - right) / (classes - 1))
    targets[np.arange(count), labels] = right
    wide = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(-(targets * log_softmax(wide / math.exp(log_temperature), axis=1)).sum() / count)

    found = minimize_scalar(loss, bounds=(math.log(_COLDEST), math.log(_HOTTEST)), method="bounded")
    return math.exp(float(found.x))


def choose_threshold(confidence: Float[np.ndarray, "N"], hits: Bool[np.ndarray, "N"]) -> float:
    """The probability below which an answer is unsure, by the probabilities of the likeliest class of N clips.

    It is the lowest from which on 90 % of the answers are right (or where none reaches that, as many as can be), of
    those that a tenth of the clips and five reach.  Where that would call nearly every answer sure, whatever it shows,
    it is the probability that 95 % of the right answers reach.
    """
    order = np.argsort(-confidence, kind="stable")
    steps, right = confidence[order].astype(np.float64), hits[order]
    accuracy = np.cumsum(right) / np.arange(1, len(right) + 1)  # of the clips down to each
    last = np.append(np.diff(steps) != 0, True)  # equal probabilities are on the same side
    enough = np.arange(1, len(right) + 1) >= min(max(_FEWEST, math.ceil(_SMALLEST_SHARE * len(right))), len(right))
    allowed = np.flatnonzero(last & enough)
    reach = [place for place in allowed if accuracy[place] >= ACCURACY]
    best = max(allowed, key=lambda place: (accuracy[place], place))
    of_accuracy = float(steps[reach[-1] if reach else best])
    if not right.any():
        return of_accuracy
    return max(of_accuracy, float(np.quantile(steps[right], 1 - KEPT, method="lower")))
