"""The last frames of a camera, at the size that the network takes, and which of them make a clip."""

import dataclasses
import math

import av
import jax
import numpy as np
from jaxtyping import Int, UInt8

from lift_flax.video.clips import Parts, Preparation, flow_scaler, frame_scaler, stored_size
from lift_flax.video.optical_flow import LiveCodes
from lift_flax.video.sampling import FrameWindow

_MOST_RATE = 120  # frames a second that are kept of a window of seconds; a faster camera loses the earliest of them


@dataclasses.dataclass(frozen=True)
class Pace:
    """Which frames of a camera make a window of T.

    Attributes:
      taken: of frames without times, counted from the window's first; the window ends with the last of them.  None
        where such frames do not say enough.
      timed: of frames with times, how long they span together; None where times do not count.
    """

    taken: Int[np.ndarray, "T"] | None
    timed: FrameWindow | None = None

    @property
    def span(self) -> int:
        """Frames of a window without times, from its first to its last."""
        return 0 if self.taken is None else int(self.taken.max()) + 1


@dataclasses.dataclass
class SeenFrame:
    """A frame of a camera.

    Attributes:
      picture: scaled.
      time: in seconds, where it came with one.
      flow: to the next frame, once that has come; None where the network takes none.
      token: of the main stream, once it is computed.
    """

    picture: UInt8[np.ndarray, "H W 3"]
    time: float | None = None
    flow: UInt8[np.ndarray, "H W 2"] | None = None
    token: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class LiveClip:
    """A clip of a camera that an answer is due for; what comes after it does not change it.

    Attributes:
      index: of its last frame, counted from 0 in the order of adding.
      time: of that frame in seconds, where it came with one.
      since: when that frame was added, by `time.perf_counter`.
      frames: of the clip, [T].
      parts: the batch of one that the network takes.
    """

    index: int
    time: float | None
    since: float
    frames: tuple[SeenFrame, ...]
    parts: Parts


class LiveWindow:
    """The last frames of one camera, all of one size.

    Args:
      width, height: of its frames.
      preparation: how a frame becomes one of a clip.
      span: frames to keep, where these come without times.
      timed: how long frames with times are kept; they come with times if it is given.

    Attributes:
      frames: the earliest first.
    """

    def __init__(self, width: int, height: int, preparation: Preparation, span: int, timed: FrameWindow | None):
        self._scale = frame_scaler(width, height, preparation)
        self._scale_flow = flow_scaler(width, height, preparation)
        self._codes = None
        if preparation.flow != "none":
            self._codes = LiveCodes(stored_size(width, height, preparation), preparation.flow)
        self._count, self._span, self._timed = preparation.num_frames, span, timed
        self.frames: list[SeenFrame] = []

    def add(self, frame: UInt8[np.ndarray, "h w 3"], time: float | None) -> SeenFrame:
        """Adds a frame, and lets go of those before the window.

        Raises:
          VideoError: scaling or flow fails; nothing is added.
        """
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        scaled, codes = self._scale(picture), self._codes and self._codes(picture)
        if codes is not None:
            self.frames[-1].flow = self._scale_flow(codes)
        self.frames.append(SeenFrame(scaled, time))
        del self.frames[: self._passed()]
        return self.frames[-1]

    def latest(self) -> Int[np.ndarray, "T"] | None:
        """Places in `frames` of the last window by time; None while they do not reach back that far."""
        assert self._timed is not None, "frames without times are taken by their number"
        return self._timed.last(self._times(), self._count)

    def batch(self, taken: Int[np.ndarray, "T"]) -> Parts:
        """A batch of one, of the frames `taken`: "clip" [1,T,H,W,3], and "flow" [1,T,H,W,2] where it is used.

        The last frame has no successor yet, so it repeats the flow of the one before.
        """
        chosen = [self.frames[place] for place in taken]
        parts = {"clip": np.stack([frame.picture for frame in chosen])[None]}
        if self._codes:
            flows = [self.frames[-2].flow if frame.flow is None else frame.flow for frame in chosen]
            parts["flow"] = np.stack([flow for flow in flows if flow is not None])[None]
        return parts

    def _times(self) -> np.ndarray:
        return np.array([frame.time for frame in self.frames], np.float64)

    def _passed(self) -> int:
        """How many of the earliest frames no window takes any more."""
        if self._timed is None:
            return max(len(self.frames) - self._span, 0)
        times = self._times()
        before = np.searchsorted(times, times[-1] - self._timed.seconds, side="right") - 1  # on screen at that time
        most = self._count + math.ceil(_MOST_RATE * self._timed.seconds)
        return max(int(before) - 1, len(times) - most, 0)  # one more tells how long frames stay on screen
