"""Finds the largest batch that fits in few compilations: memory grows nearly in proportion to the batch."""

import math
from collections.abc import Callable

MOST_PROBES = 6


def largest_batch(
    probe: Callable[[int], tuple[int | None, bool]], first: int, unit: int, memory: int
) -> tuple[int | None, dict[int, bool]]:
    """The largest multiple of `unit` that `probe` says fits.

    The first two probes give a line of memory over batch; its prediction is tried, then what lies beside it.  Where the
    next larger batch was not tried, the line says that it does not fit.

    Args:
      probe: batch -> (bytes needed or None where unknown, whether it fits).  Every call is a compilation.
      first: the batch to begin with, a multiple of `unit`.
      unit: batches are multiples of this.
      memory: bytes of the device.
    Returns:
      (the largest that was seen to fit, None where not even `unit` does; {batch tried: whether it fits}).
    """
    needed: dict[int, int | None] = {}
    fits: dict[int, bool] = {}

    def try_batch(batch: int) -> None:
        needed[batch], fits[batch] = probe(batch)

    try_batch(first)
    while len(fits) < MOST_PROBES:
        low = max((b for b, ok in fits.items() if ok), default=0)
        high = min((b for b, ok in fits.items() if not ok), default=None)
        if high is not None and high - low <= unit:
            break
        guess = _predict({b: n for b, n in needed.items() if n is not None}, memory, unit)
        if low and guess is not None and guess <= low:
            break
        if high is not None and (guess is None or guess >= high):  # no line, or one that was wrong
            guess = (math.isqrt(low * high) if low else high // 2) // unit * unit
        try_batch(2 * low if guess is None else max(guess, low + unit))
    return max((b for b, ok in fits.items() if ok), default=None), fits


def _predict(needed: dict[int, int], memory: int, unit: int) -> int | None:
    """Where the line through the two known points nearest to `memory` meets it, as a multiple of `unit`."""
    nearest = sorted(needed, key=lambda batch: abs(needed[batch] - memory))[:2]
    if len(nearest) < 2:
        return None
    a, b = sorted(nearest)
    slope = (needed[b] - needed[a]) / (b - a)
    if slope <= 0:
        return None
    return int(a + (memory - needed[a]) / slope) // unit * unit
