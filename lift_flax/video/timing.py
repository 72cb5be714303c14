"""The frames of a video by time: which of them stand for a clip, a window or a record."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from lift_flax.video import sampling

_ROUNDING = 2e-7  # of the duration: times that differ by less are one, since records round them to float32


@dataclasses.dataclass(frozen=True, eq=False)
class Timing:
    """When each frame of a video is on screen: from its own time to that of the next frame.

    Where all frames are on screen equally long, frames are found by their number, so rounding moves none of them.

    Attributes:
      times: seconds of each frame from the first one, [N], never falling.
      seconds: from the first frame to the end of the last.
      fps: frames per second, on average.
    """

    times: Float[np.ndarray, "N"]
    seconds: float
    fps: float

    @classmethod
    def even(cls, num_frames: int, fps: float) -> "Timing":
        """The timing of a video of constant rate."""
        return cls(np.arange(num_frames) / fps, num_frames / fps, fps)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Timing":
        """The timing of the frames in a record; of a constant rate in records of earlier versions."""
        if "times" not in record:
            return cls.even(int(record["num_frames"]), float(record["fps"]))
        times, seconds = np.asarray(record["times"], np.float64), float(record["seconds"])
        return cls(times, seconds, len(times) / seconds)

    @functools.cached_property
    def constant(self) -> bool:
        """Whether all frames are on screen equally long."""
        even = np.arange(len(self.times)) * (self.seconds / len(self.times))
        return bool(np.all(np.abs(self.times - even) <= self._rounding))

    def middle(self, count: int, phase: float = 0.5) -> Int[np.ndarray, "T"]:
        """The frame on screen `phase` (0 to 1) of the way through each of `count` equal spans of time."""
        return self._shown(sampling.middles(len(self.times), count, phase))

    def drawn(self, count: int, rng: np.random.Generator) -> Int[np.ndarray, "T"]:
        """The frame on screen at a random time in each of `count` equal spans of time."""
        return self._shown(sampling.draws(len(self.times), count, rng))

    def kept(self, limit: int | None) -> tuple[Int[np.ndarray, "M"], "Timing"]:
        """The frames that a record of at most `limit` frames holds, and the times from which each of them stands there.

        Above the limit, a record holds the middle frame of each of `limit` equal spans of time, from the beginning of
        its span on.  A frame that is on screen for several spans is held once.  None keeps all frames.
        """
        count = len(self.times)
        if limit is None or count <= limit:
            return np.arange(count), self
        shown = self.middle(limit)
        starts = np.flatnonzero(np.diff(shown, prepend=-1))
        frames, times = shown[starts], starts * (self.seconds / limit)
        if len(frames) == 1:  # one frame is on screen nearly all the time: a record holds two at least
            frames = np.array([0, frames[0] or count - 1])
            times = self.times[frames]
        return frames, Timing(times, self.seconds, len(frames) / self.seconds)

    def part(self, start: float, end: float) -> tuple[int, "Timing"]:
        """Number of the first frame on screen in these seconds, and the timing of this part.

        Of a video of constant rate a part begins and ends with the nearest frame.
        """
        count = len(self.times)
        if self.constant:
            first = min(int(start * self.fps + 0.5), count - 1)
            last = min(max(int(end * self.fps + 0.5), first + 1), count)
            return first, Timing.even(last - first, self.fps)
        first = int(np.searchsorted(self.times, start + self._rounding, side="right")) - 1
        last = max(int(np.searchsorted(self.times, end - self._rounding, side="left")), first + 1)
        times = np.maximum(self.times[first:last] - start, 0.0)
        return first, Timing(times, end - start, (last - first) / (end - start))

    @property
    def _rounding(self) -> float:
        return _ROUNDING * self.seconds

    def _shown(self, places: Float[np.ndarray, "T"]) -> Int[np.ndarray, "T"]:
        """The frame on screen at each of `places`: shares of the duration, times the number of frames."""
        count = len(self.times)
        if not self.constant:
            times = places * (self.seconds / count)
            places = np.searchsorted(self.times, times + self._rounding, side="right") - 1
        return np.clip(places.astype(np.int64), 0, count - 1)
