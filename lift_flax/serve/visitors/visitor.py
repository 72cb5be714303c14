"""One camera in front of the network: the newest frame wins, and nothing waits for anything else.

    offer -> [one frame] -> a thread: decode, expose, add to the window -> [one window] -> the shared worker: answer

Each bracket holds the newest alone, so an answer is never about older frames than need be, however slow the machine.
"""

import collections
import dataclasses
import logging
import threading
import time as clock
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lift_flax.errors import UserError
from lift_flax.evaluate.illumination import CAMERA
from lift_flax.predict.answers import StreamAnswer
from lift_flax.predict.live.stream import Stream
from lift_flax.predict.live.window import LiveClip
from lift_flax.serve.messages import Settings
from lift_flax.serve.visitors.answering import Answering
from lift_flax.video.camera import re_expose

_LOG = logging.getLogger(__name__)
_GAP = 2.0  # s between two frames, after which the window begins anew: nobody knows what happened meanwhile
_REMEMBERED = 500  # latencies that percentiles are taken of

Picture = UInt8[np.ndarray, "H W 3"]


@dataclasses.dataclass(frozen=True)
class Offered:
    """A frame that has come.

    Attributes:
      time: seconds, from any moment on.
      picture: decodes it; raises UserError where it is damaged.
      since: when it came, by `time.perf_counter`.
    """

    time: float
    picture: Callable[[], Picture]
    since: float = dataclasses.field(default_factory=clock.perf_counter)


@dataclasses.dataclass(frozen=True)
class LiveAnswer:
    """An answer with what it is about.

    Attributes:
      answer: of the network.
      clip: that it is about.
      filmed: the last frame of that, after the change of exposure.
      settings: that it was made with.
      latency_ms: from the moment when that frame came.
    """

    answer: StreamAnswer
    clip: LiveClip
    filmed: Picture
    settings: Settings
    latency_ms: float


@dataclasses.dataclass
class Counts:
    """What became of a visitor's frames.

    Attributes:
      received: frames that came.
      dropped: of these, those that a newer one replaced before they were looked at, or their window answered.
      answers: that were given.
      latencies: of the last answers, ms.
    """

    received: int = 0
    dropped: int = 0
    answers: int = 0
    latencies: collections.deque[float] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_REMEMBERED)
    )

    def as_json(self) -> dict[str, Any]:
        """The counts, and the median and the 95th percentile of the latency."""
        p50, p95 = np.percentile(self.latencies, (50, 95)) if self.latencies else (0.0, 0.0)
        return {
            "received": self.received,
            "dropped": self.dropped,
            "answers": self.answers,
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
        }


class Visitor:
    """A stream of frames and its answers.

    Args:
      answering: what visitors share.
      deliver: gets each answer, in the worker's thread.
      report: gets what else there is to say: ("preparing", ""), ("ready", ""), ("failed", why), in any thread.

    Attributes:
      counts: of its frames.
      last: the answer that was given last; None before the first, and once the visitor has left.
    """

    def __init__(
        self,
        answering: Answering,
        deliver: Callable[["LiveAnswer"], None],
        report: Callable[[str, str], None],
    ):
        self.counts = Counts()
        self._answering, self._deliver, self._report = answering, deliver, report
        self._changed = threading.Condition()
        self._offered: Offered | None = None
        self._closed = False
        self._settings = Settings()
        self._stream: Stream | None = None
        self._of: tuple[Any, ...] = ()  # what the stream was made for
        self._time = -np.inf  # of the last frame of the stream
        self._noise = np.random.default_rng()
        self.last: LiveAnswer | None = None
        self._thread = threading.Thread(target=self._read, name="visitor", daemon=True)
        self._thread.start()

    def offer(self, frame: Offered) -> None:
        """Takes a frame, in place of one that nobody has looked at yet; from any thread."""
        with self._changed:
            self.counts.received += 1
            self.counts.dropped += self._offered is not None
            self._offered = frame
            self._changed.notify()

    def choose(self, settings: Settings) -> None:
        """Changes the settings, from the next frame on."""
        self._settings = settings

    def close(self) -> None:
        """Lets go of everything at once; the thread ends after the frame that it is at."""
        with self._changed:
            self._closed, self._offered, self.last = True, None, None
            self._changed.notify()
        self._answering.worker.drop(self)
        self._answering.explainer.drop(self)

    def explain(self, explained: Callable[[str, bytes], None]) -> bool:
        """Explains the clip of the last answer; False where there is none yet.

        Args:
          explained: gets the class and a PNG, in the explaining thread; or why there is none, and no bytes.
        """
        last = self.last
        if last is None:
            return False

        def job() -> None:
            try:
                found = self._answering.explained(last.clip.parts)
            except Exception:  # of this visitor alone
                _LOG.exception("an explanation failed")
                found = "this window cannot be explained", b""
            if not self._closed:
                explained(*found)

        self._answering.explainer.put(self, job)
        return True

    def _read(self) -> None:
        """The thread: adds the newest frame to the window, and gives the newest window to the worker."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._offered or self._closed)
                if self._closed:
                    self._stream = None  # its frames
                    return
                frame, self._offered = self._offered, None
            assert frame is not None, "waited for"
            try:
                self._add(frame)
            except UserError as error:
                self._report("failed", str(error))
            except Exception:  # of this visitor alone
                _LOG.exception("a frame of a visitor failed")
                self._report("failed", "this frame cannot be used")

    def _add(self, frame: Offered) -> None:
        settings = self._settings
        picture = self._exposed(frame.picture(), settings.stops)
        stream = self._stream_for(picture, frame.time, settings)
        clip = stream.add(picture, frame.time)
        self._time = frame.time
        if clip is None or self._closed:
            return

        def job() -> None:
            answer = stream.answer(clip)
            latency = 1000 * (clock.perf_counter() - frame.since)
            if self._closed or stream is not self._stream:  # left, or chose another network meanwhile
                return
            self.counts.answers += 1
            self.counts.latencies.append(latency)
            self.last = LiveAnswer(answer, clip, picture, settings, latency)
            self._deliver(self.last)

        self.counts.dropped += self._answering.worker.put(self, job)

    def _exposed(self, picture: Picture, stops: float) -> Picture:
        if not stops:
            return picture
        camera = dataclasses.replace(CAMERA, exposure=2.0**stops)
        return re_expose(picture[None], camera, self._noise)[0]

    def _stream_for(self, picture: Picture, time: float, settings: Settings) -> Stream:
        """The stream that goes on with this frame: a new one after a change of its size or the settings, or in time."""
        of = (picture.shape, settings.network, settings.smooth, settings.hysteresis)
        if self._stream is None or of != self._of or not self._time < time <= self._time + _GAP:
            if self._stream is None or settings.network != self._of[1]:
                self._report("preparing", "")
            self._answering.worker.drop(self)
            predictor = self._answering.predictor(settings.network)
            self._stream = predictor.stream(every=1, smooth=settings.smooth, hysteresis=settings.hysteresis)
            self._of = of
            self._report("ready", "")
        return self._stream
