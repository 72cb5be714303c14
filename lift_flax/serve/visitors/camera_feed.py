"""A camera of the server: a device, an RTSP address, or a file that plays over and over, read in a thread.

A source that goes away is tried again, after pauses that grow from one second to thirty.
"""

import contextlib
import dataclasses
import os
import threading
import time as clock
from collections.abc import Callable, Iterator
from pathlib import Path

import av
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from lift_flax.errors import UserError, system_reason
from lift_flax.serve.visitors.visitor import Offered
from lift_flax.video import scaling
from lift_flax.video.decode import VideoError, decoded, open_video, upright
from lift_flax.video.inspection import coder_errors

_SHORT_SIDE = 256  # px, that frames are scaled to if they are larger
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # s before the next try
_LAST_FRAME = 0.04  # s that the last frame of a file is shown, before it begins again
_LONGEST_GAP = 2.0  # s between two frames of a file
_STEADY = 10.0  # s of frames after which the pauses begin anew
_OPENING, _SILENCE = 10.0, 5.0  # s to wait for a network source to open, and for its next frame


@dataclasses.dataclass(frozen=True)
class FeedState:
    """How a source is.

    Attributes:
      name: starting, running or lost.
      reason: why it was lost.
      again_in: seconds to the next try, where it was lost.
    """

    name: str
    reason: str = ""
    again_in: float = 0.0


class CameraFeed:
    """Frames of a camera for any number of subscribers; those who come late get those that come from then on.

    Args:
      address: a file, a device as /dev/video0, or an address as rtsp://host/name.

    Attributes:
      state: how it is now.

    Raises:
      UserError: it is neither an address nor a device nor a file.
    """

    def __init__(self, address: str):
        self._address = address
        self._changed: Callable[[FeedState], None] | None = None
        self._is_file = not is_device(address) and "://" not in address
        if self._is_file and not os.path.isfile(address):
            raise UserError(f"--source={address}: no such file; give a file, a device as /dev/video0, or rtsp://...")
        self.state = FeedState("starting")
        self._subscribers: dict[object, Callable[[Offered], None]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)

    def tell(self, changed: Callable[[FeedState], None]) -> None:
        """Gives each new state to `changed`, in the reading thread."""
        self._changed = changed

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread after the frame that it waits for."""
        self._ended.set()

    def subscribe(self, owner: object, take: Callable[[Offered], None]) -> None:
        """Gives each frame to `take`, in the reading thread, until `leave`."""
        self._subscribers = {**self._subscribers, owner: take}

    def leave(self, owner: object) -> None:
        """Ends what `subscribe` began."""
        self._subscribers = {other: take for other, take in self._subscribers.items() if other is not owner}

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._ended.is_set():
            since = clock.monotonic()
            try:
                with coder_errors():
                    self._play()
                if self._is_file:
                    self._ended.wait(_LAST_FRAME)
                    continue
                reason = "it ended"
            except (VideoError, FFmpegError, OSError) as error:
                reason = _reason(error)
            if clock.monotonic() - since > _STEADY + _SILENCE:
                pause = _FIRST_PAUSE
            self._set(FeedState("lost", reason, pause))
            self._ended.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _play(self) -> None:
        """Gives out frames until the source ends."""
        scaler = VideoReformatter()
        size: tuple[int, int] = (0, 0)
        began, first = 0.0, None
        with self._opened() as stream:
            for frame in decoded(stream):
                if self._ended.is_set():
                    return
                now = clock.time()
                if first is None or frame.time is None:
                    began, first = now, frame.time or 0.0
                time = began if frame.time is None else began + (frame.time - first)
                if self._is_file and time > now + _LONGEST_GAP:  # which nobody watches to its end
                    began, first = now, frame.time
                    time = now
                if self._is_file:
                    self._ended.wait(max(time - clock.time(), 0.0))
                if self.state.name != "running":
                    self._set(FeedState("running"))
                subscribers = [*self._subscribers.values()]
                if not subscribers:
                    continue
                shown = upright(frame)
                if size == (0, 0):
                    size = scaling.scaled_size(
                        shown.width, shown.height, min(_SHORT_SIDE, shown.width, shown.height), multiple=2
                    )
                picture = scaling.rgb(shown, size, scaler)
                for take in subscribers:
                    take(Offered(time, lambda picture=picture: picture))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[av.VideoStream]:
        if self._is_file:
            with open_video(Path(self._address)) as stream:
                yield stream
            return
        options = {"rtsp_transport": "tcp"} if self._address.startswith("rtsp") else {}
        form = "v4l2" if is_device(self._address) else None
        with av.open(self._address, format=form, options=options, timeout=(_OPENING, _SILENCE)) as container:
            if not container.streams.video:
                raise VideoError("no video stream")
            stream = container.streams.best("video")
            assert isinstance(stream, av.VideoStream)
            yield stream

    def _set(self, state: FeedState) -> None:
        self.state = state
        if self._changed is not None:
            self._changed(state)


def is_device(address: str) -> bool:
    """Whether an address is that of a camera of this machine."""
    return address.startswith("/dev/") and not os.path.isfile(address)


def _reason(error: Exception) -> str:
    """Why a source cannot be read, in a few words, without its address, which may hold a password."""
    if isinstance(error, VideoError):
        return str(error)
    if isinstance(error, OSError):
        return system_reason(error)
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
