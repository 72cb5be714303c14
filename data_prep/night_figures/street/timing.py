"""Curves over time [T] that the motions of the street are made of: steps, strokes that repeat, and sway."""

from dataclasses import dataclass

import numpy as np


def smooth(x: np.ndarray) -> np.ndarray:
    """A smooth step [T] from 0 at `x` = 0 to 1 at `x` = 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two positive bounds, its logarithm drawn evenly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def wrapped_bump(phase: np.ndarray, centre: float, width: float) -> np.ndarray:
    """A bump [T] of height 1 at `centre` of a cycle; `phase` and `width` are in cycles."""
    away = (phase - centre + 0.5) % 1.0 - 0.5
    return np.exp(-0.5 * (away / width) ** 2)


def sway(seconds: np.ndarray, rng: np.random.Generator, size: float) -> np.ndarray:
    """A slow wandering [T] about 0, of a standard deviation of about `size`."""
    rate, phase = rng.uniform(0.1, 1.1, 3), rng.uniform(0, 2 * np.pi, 3)
    weight = rng.dirichlet([1.0, 1.0, 1.0]) * 2.0
    return size * np.sum(weight * np.sin(2 * np.pi * rate * seconds[:, None] + phase), axis=1)


@dataclass(frozen=True)
class Strokes:
    """A movement there and back, once or several times.

    Attributes:
      starts: seconds at which each begins.
      there, hold, back: seconds of its three parts.
    """

    starts: np.ndarray
    there: float
    hold: float
    back: float

    @property
    def length(self) -> float:
        """Seconds of one stroke."""
        return self.there + self.hold + self.back

    def level(self, seconds: np.ndarray) -> np.ndarray:
        """How far the movement is, [T], from 0 to 1."""
        since = seconds[:, None] - self.starts
        return (smooth(since / self.there) * (1 - smooth((since - self.there - self.hold) / self.back))).max(axis=1)

    def share(self, seconds: np.ndarray) -> np.ndarray:
        """How much of the stroke of the moment is over, [T], from 0 to 1; 0 between two strokes."""
        since = (seconds[:, None] - self.starts) / self.length
        return np.where((since > 0) & (since < 1), since, 0.0).max(axis=1)


def strokes(
    rng: np.random.Generator,
    duration: float,
    there: tuple[float, float],
    hold: tuple[float, float],
    back: tuple[float, float],
    pause: tuple[float, float],
) -> Strokes:
    """Strokes that fill a clip of `duration` seconds; the bounds of each part are in seconds.

    The first lies in the clip with most of its movement, and begins before it at times.
    """
    parts = (between(rng, *there), rng.uniform(*hold), between(rng, *back))
    length = sum(parts)
    first = rng.uniform(-0.25 * length, max(duration - 0.75 * length, 0.0) * rng.random() + 1e-3)
    starts = [first]
    while starts[-1] < duration:
        starts.append(starts[-1] + length + rng.uniform(*pause))
    return Strokes(np.array(starts[:-1] or starts), *parts)
