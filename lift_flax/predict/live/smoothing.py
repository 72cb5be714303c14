"""Answers that do not flicker: the mean of the last ones, and a class that stays until another is clearly ahead."""

import collections
import math

import numpy as np
from jaxtyping import Float

from lift_flax.errors import UserError


class Smoothing:
    """Joins each answer with those before it.

    Args:
      mean: how many of the last answers are averaged; 1 takes each as it is.
      hysteresis: by how much another class must be likelier than the one that was named before, to be named.

    Raises:
      UserError: `mean` is not a positive whole number, or `hysteresis` not from 0 to 1.
    """

    def __init__(self, mean: int = 1, hysteresis: float = 0.0):
        if not isinstance(mean, int) or mean < 1:
            raise UserError(f"smooth={mean!r}: give a whole number of answers to average, 1 or more")
        if not (isinstance(hysteresis, int | float) and 0 <= hysteresis <= 1 and math.isfinite(hysteresis)):
            raise UserError(f"hysteresis={hysteresis!r}: give a difference of probabilities, from 0 to 1")
        self._hysteresis = hysteresis
        self._last: collections.deque[np.ndarray] = collections.deque(maxlen=mean)  # of [K]
        self._label: int | None = None

    def __call__(self, shares: Float[np.ndarray, "K"]) -> tuple[Float[np.ndarray, "K"], int]:
        """(probabilities, label) after the probabilities `shares` of the newest answer."""
        self._last.append(shares)
        if len(self._last) > 1:
            shares = np.mean(self._last, axis=0)
        best = int(shares.argmax())
        if self._label is None or shares[best] > shares[self._label] + self._hysteresis:
            self._label = best
        return shares, self._label
