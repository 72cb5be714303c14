"""When each frame of a file is shown, from the times that its container gives."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

_LAST = 5  # steps by which the duration of a last frame is judged
_LONG = 1.5  # so many usual steps make a last frame that stays on screen
_SLACK = 0.01  # of a step; some containers name few times, and the decoder counts on from them in whole ticks
_REWIND = 0.5  # seconds back that begin another recording; fewer are frames in the wrong order
_LONGEST_PAUSE = 12 * 3600.0  # seconds; a longer step is a clock that was set
_FASTEST = 1000.0  # frames per second; times that are closer mean nothing


def frame_times(
    ticks: Sequence[int | None], durations: Sequence[int | None], time_base: Fraction, fps: float
) -> tuple[Float64[np.ndarray, "N"], float, float]:
    """Presentation times of all frames of a file, in seconds from the first one, never falling.

    Steps that are constant up to the rounding of `time_base` give exactly i / fps.  Frames without times count so, too;
    if only some lack one, they are spread between the others.  Where times go back as in recordings that were joined,
    a recording follows the one before it; where single frames have changed places, their times are sorted.

    Args:
      ticks: time of each frame in units of `time_base`, in the order of showing.
      durations: of each frame, or of the last ones at least, in the same units; 0 or None where unknown.
      time_base: seconds in a tick.
      fps: frames per second that the file names.

    Returns:
      (Time of each frame, seconds from the first frame to the end of the last, frames per second: N / seconds).
    """
    count, tick = len(ticks), float(time_base)
    even = np.arange(count) / fps, count / fps, fps
    known = [index for index, time in enumerate(ticks) if time is not None]
    if len(known) < 2:
        return even
    rising = _rising(_filled(ticks, known, 1 / fps / tick), tick)
    if rising[-1] * tick * _FASTEST < count - 1:
        return even
    own = _last_duration(np.diff(rising), durations)
    rate = _constant_rate(rising, tick, fps)
    if rate is not None and own * tick <= _LONG / rate:
        return np.arange(count) / rate, count / rate, rate
    seconds = float(rising[-1] + own) * tick
    return rising * tick, seconds, count / seconds


def _filled(ticks: Sequence[int | None], known: list[int], step: float) -> Float64[np.ndarray, "N"]:
    """Ticks of all frames; those without a time lie evenly between their neighbours, or are `step` apart at an end."""
    first, last, count = known[0], known[-1], len(ticks)
    values = np.array([ticks[index] for index in known], np.float64)
    filled = np.interp(np.arange(count), known, values)
    filled[:first] -= step * np.arange(first, 0, -1)
    filled[last + 1 :] += step * np.arange(1, count - last)
    return filled


def _rising(ticks: Float64[np.ndarray, "N"], tick: float) -> Float64[np.ndarray, "N"]:
    """Ticks from 0 on that never fall."""
    steps = np.diff(ticks)
    longest = _LONGEST_PAUSE / tick
    true = steps[(steps > 0) & (steps <= longest)]
    usual = float(np.median(true)) if true.size else 0.0
    jumps = (steps < -max(_REWIND / tick, 2 * usual)) | (steps > longest)
    ticks = np.cumsum([0.0, *np.where(jumps, usual, steps)])
    return np.sort(ticks) - ticks.min()


def _last_duration(steps: Float64[np.ndarray, "M"], durations: Sequence[int | None]) -> float:
    """Ticks that the last frame is shown: as the frames before it, or longer where the file says so.

    It is believed only if the durations before are those of the steps: some containers name one for all frames.
    """
    usual = float(np.median(steps[-_LAST:]))
    before = np.array([duration or 0 for duration in durations[-_LAST - 1 : -1]], np.float64)
    true = before.size and np.all(np.abs(before - steps[len(steps) - len(before) :]) <= 1)
    return max(usual, float(durations[-1] or 0)) if true else usual


def _constant_rate(ticks: Float64[np.ndarray, "N"], tick: float, fps: float) -> float | None:
    """Frames per second if rounding to ticks explains all differences; `fps` if it fits, None if steps vary."""
    numbers, named = np.arange(1, len(ticks)), 1 / fps / tick
    slack = max(1.0, _SLACK * float(np.median(np.diff(ticks))))
    if np.all(np.abs(ticks[1:] - numbers * named) < slack):
        return fps
    low, high = np.max((ticks[1:] - slack) / numbers), np.min((ticks[1:] + slack) / numbers)
    if low > high:
        return None
    middle = float(low + high) / 2
    return fps if abs(named - middle) * len(numbers) <= named / 2 else 1 / (middle * tick)
