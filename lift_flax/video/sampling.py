"""Which frames of a video make a clip, spread over it or in a row, and which part of a frame."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

_ROUNDING = 2e-7  # of the duration: times that differ by less are one, since records round them to float32


def eval_indices(num_frames: int, count: int, phase: float = 0.5) -> Int[np.ndarray, "T"]:
    """Takes the frame `phase` (0 to 1) of the way through each of `count` equal segments, by default its centre.

    A video with fewer frames than segments repeats frames.  Frames that are not equally long are sampled
    by `Timing`.
    """
    return np.minimum(_middles(num_frames, count, phase).astype(np.int64), num_frames - 1)


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
        return self.shown(_middles(len(self.times), count, phase))

    def drawn(self, count: int, rng: np.random.Generator) -> Int[np.ndarray, "T"]:
        """The frame on screen at a random time in each of `count` equal spans of time."""
        return self.shown(_draws(len(self.times), count, rng))

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

    def shown(self, places: Float[np.ndarray, "T"]) -> Int[np.ndarray, "T"]:
        """The frame on screen at each of `places`: shares of the duration, times the number of frames."""
        count = len(self.times)
        if not self.constant:
            times = places * (self.seconds / count)
            places = np.searchsorted(self.times, times + self._rounding, side="right") - 1
        return np.clip(places.astype(np.int64), 0, count - 1)


@dataclasses.dataclass(frozen=True)
class FrameWindow:
    """How T frames in a row are taken from a clip, where they are not spread over all of it.

    Attributes:
      stride: frames from one of them to the next.
      seconds: that the T frames span together; 0 leaves it to `stride`.
      short: what a clip does that is shorter than that: "loop", begin again, or "hold" its last frame.
    """

    stride: int = 1
    seconds: float = 0.0
    short: Literal["loop", "hold"] = "loop"

    def at(self, timing: Timing, count: int, share: float) -> Int[np.ndarray, "T"]:
        """The `count` frames of a window; `share` (0 to 1) of its places in the clip come before its own."""
        rest = len(timing.times) - self.span(timing.fps, count)
        first = share * rest if self.seconds else min(share * (rest + 1.0), rest)
        return self._from(max(first, 0.0), timing, count)

    def around(self, timing: Timing, count: int, second: float) -> Int[np.ndarray, "T"]:
        """The same of the window whose middle is nearest to a second of the clip."""
        span = self.span(timing.fps, count)
        middle = second / timing.seconds * len(timing.times)
        first = middle - span / 2 if self.seconds else middle // 1 - span // 2
        return self._from(max(min(first, len(timing.times) - span), 0.0), timing, count)

    def live(self, count: int, fps: float) -> Int[np.ndarray, "T"]:
        """The frames that a camera's window takes, counted from its first; its last frame is the one that came last."""
        frames = math.ceil(self.span(fps, count) - 1e-6)
        return self.at(Timing.even(frames, fps), count, 0.5)

    def last(self, times: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "T"] | None:
        """The frames on screen at `count` times, evenly spread over the last `self.seconds` of a camera's frames.

        Args:
          times: of the frames in seconds, growing.
        Returns:
          Their numbers; None while the frames do not reach back that far.
        """
        if len(times) < 2:
            return None
        end = times[-1] + min(np.diff(times).min(), self.seconds)  # the last frame stays on screen, too
        first = end - self.seconds
        if first < times[0] - _ROUNDING * self.seconds:
            return None
        middles = first + (np.arange(count) + 0.5) * (self.seconds / count)
        return np.searchsorted(times, middles + _ROUNDING * self.seconds, side="right") - 1

    def span(self, fps: float, count: int) -> float:
        """Frames of average length from the beginning of a window to its end."""
        return self.seconds * fps if self.seconds else (count - 1) * self.stride + 1.0

    def _from(self, first: float, timing: Timing, count: int) -> Int[np.ndarray, "T"]:
        total = len(timing.times)
        if self.seconds:
            places = first + (np.arange(count) + 0.5) * (self.span(timing.fps, count) / count)
            return timing.shown(places % total if self.short == "loop" else np.minimum(places, np.nextafter(total, 0)))
        places = int(first) + self.stride * np.arange(count)
        return places % total if self.short == "loop" else np.minimum(places, total - 1)


def _draws(num_frames: int, count: int, rng: np.random.Generator) -> Float[np.ndarray, "T"]:
    """A random place, 0 to `num_frames`, in each of `count` equal segments of a video, in order."""
    edges = np.linspace(0, num_frames, count + 1)
    return rng.uniform(edges[:-1], edges[1:])


def _middles(num_frames: int, count: int, phase: float = 0.5) -> Float[np.ndarray, "T"]:
    """The place, 0 to `num_frames`, that is `phase` (0 to 1) of the way through each of `count` equal segments."""
    return (np.arange(count) + phase) * num_frames / count


@dataclasses.dataclass(frozen=True)
class View:
    """A test-time crop of a clip, in time and space.

    Attributes:
      phase: which frame of each segment, 0 to 1; of a window, how much of the rest of the clip lies before it.
      share: position of the crop along the longer side, 0 to 1.
    """

    phase: float = 0.5
    share: float = 0.5


CENTRE = View()


def view_grid(clips: int, crops: int) -> tuple[View, ...]:
    """Views at `clips` times and `crops` places each, places first; 1 by 1 is the centre.

    Views in time take other frames of the same segments, evenly spread, because training samples clips in this way;
    or windows, evenly spread over the clip.
    Crops are spread from end to end of the longer side.
    """
    phases = [(c + 0.5) / clips for c in range(clips)]
    shares = [0.5] if crops == 1 else np.linspace(0, 1, crops).tolist()
    return tuple(View(phase, share) for phase in phases for share in shares)


def crop_origin(height: int, width: int, size: int, share_y: float, share_x: float) -> tuple[int, int]:
    """Upper left corner of a square of `size` px, `share` (0 to 1) of the way through the free room on each axis."""
    return int((height - size) * share_y + 0.5), int((width - size) * share_x + 0.5)
