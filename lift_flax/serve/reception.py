"""Who is here: the visitors of a server, the run that answers them, and the camera of the server if it has one."""

import threading
from collections.abc import Callable
from typing import Any

from lift_flax.serve.limits import Limits
from lift_flax.serve.messages import BRIGHTEST, DARKEST
from lift_flax.serve.visitors.answering import Answering
from lift_flax.serve.visitors.camera_feed import CameraFeed, FeedState
from lift_flax.serve.visitors.memory import give_back
from lift_flax.serve.visitors.visitor import LiveAnswer, Visitor

_GIVES_BACK = 1.0  # s after the last visitor has left


class Reception:
    """What the routes of a server share.

    Args:
      answering: the run.
      limits: of visitors.
      source: the camera of the server; None where each visitor sends frames of their own.
      lossless: whether visitors are on this machine, so that pictures need not be made smaller.

    Attributes:
      answering, limits, source, lossless: as given.
    """

    def __init__(self, answering: Answering, limits: Limits, source: CameraFeed | None, *, lossless: bool):
        self.answering, self.limits, self.source, self.lossless = answering, limits, source, lossless
        self._visitors: set[Visitor] = set()
        self._watchers: dict[object, Callable[[FeedState], None]] = {}
        self._changing = threading.Lock()

    @property
    def visitors(self) -> int:
        """How many are here."""
        return len(self._visitors)

    def has_place(self) -> bool:
        """Whether another visitor may come."""
        return self.visitors < self.limits.visitors

    def visitor(self, deliver: Callable[[LiveAnswer], None], report: Callable[[str, str], None]) -> Visitor:
        """A new visitor, who gets the frames of the server's camera, if there is one."""
        visitor = Visitor(self.answering, deliver, report)
        with self._changing:
            self._visitors.add(visitor)
        if self.source is not None:
            self.source.subscribe(visitor, visitor.offer)
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """Frees what a visitor held."""
        if self.source is not None:
            self.source.leave(visitor)
        visitor.close()
        with self._changing:
            self._visitors.discard(visitor)
        if not self._visitors:  # after what is still computed and received
            later = threading.Timer(_GIVES_BACK, self.answering.worker.put, (self, give_back))
            later.daemon = True
            later.start()

    def watch(self, changed: Callable[[FeedState], None]) -> Callable[[], None]:
        """Gives each state of the source to `changed`, the present one first, until the function is called."""
        key = object()
        with self._changing:
            self._watchers[key] = changed
        if self.source is not None:
            changed(self.source.state)

        def end() -> None:
            with self._changing:
                self._watchers.pop(key, None)

        return end

    def source_changed(self, state: FeedState) -> None:
        """Tells the watchers; for `CameraFeed`."""
        with self._changing:
            watchers = [*self._watchers.values()]
        for changed in watchers:
            changed(state)

    def greeting(self) -> dict[str, Any]:
        """What a page must know before the first frame."""
        trained = self.answering.trained
        preparation = self.answering.predictor("student").preparation
        window = preparation.window
        seconds = window.seconds if window and window.seconds else trained.clip_seconds
        return {
            "type": "greeting",
            "classes": list(trained.classes),
            "networks": list(self.answering.networks),
            "dataset": trained.config.dataset,
            "frames": preparation.num_frames,
            "size": preparation.size,
            "seconds": seconds,
            "threshold": trained.calibration.threshold if trained.calibration else None,
            "card": trained.packed,
            "source": "browser" if self.source is None else "server",
            "lossless": self.lossless,
            "stops": [DARKEST, BRIGHTEST],
            "pixels": self.limits.pixels,
            "upload_bytes": self.limits.upload_bytes,
        }

    def close(self) -> None:
        """Ends all threads after what they are at."""
        if self.source is not None:
            self.source.close()
        for visitor in [*self._visitors]:
            self.leave(visitor)
        self.answering.close()
