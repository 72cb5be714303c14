"""Decodes all of a video file to report its true length, and what is bad or odd about it.

A file is *bad* if its clips would not show what was filmed: `inspect_video` raises an error with the reason.  It is
*odd* if other readers could read it wrongly, but its records are right: `notes` says why.  What is missing is decided
in checks/wholeness.py, what is odd in checks/oddities.py.
"""

import contextlib
import dataclasses
import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from jaxtyping import Float64, UInt8

from lift_flax.video import decode, scaling
from lift_flax.video.checks import brightness, file_sizes, oddities, wholeness
from lift_flax.video.decode import VideoError
from lift_flax.video.frame_times import frame_times
from lift_flax.video.picture import matrices, orientation
from lift_flax.video.sampling import Timing

_UNKNOWN_RATE = 25  # frames per second where nothing says how many
_SLOWEST, _FASTEST = 0.01, 1000.0  # frames per second that count as true
_OF_CODERS = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EDOM, errno.ERANGE})
_PROBE = 32  # px, short side of the picture that tries out the conversions

# (seconds since the first frame, luma as it is coded [H, W], quarter turns clockwise that show it upright after a
# mirroring left to right, whether it is mirrored) of every frame in turn
Watch = Callable[[float, UInt8[np.ndarray, "H W"], int, bool], None]


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Facts about a video, from decoding all of it.

    Attributes:
      num_frames: frames that decode.
      times: presentation time of each frame in seconds from the first one, [N], never falling; exactly i / fps where
        the rate is constant.
      seconds: from the first frame to the end of the last.
      fps: frames per second, on average: num_frames / seconds.
      width, height: pixels of the first frame, upright.
      notes: oddities, each in a few words.
      content: digest of the decoded luma: equal for copies, whatever their name, container or rotation.
      luma: share of the pixels in each of `brightness.BINS` equal ranges of luma, from black to white.
      mean_luma: 0 (black) to 255 (white).
    """

    num_frames: int
    times: Float64[np.ndarray, "N"] = dataclasses.field(repr=False, compare=False)
    seconds: float
    fps: float
    width: int
    height: int
    notes: tuple[str, ...]
    content: str
    luma: tuple[float, ...]
    mean_luma: float

    @property
    def timing(self) -> Timing:
        """When each frame is on screen."""
        return Timing(self.times, self.seconds, self.fps)


def inspect_video(source: bytes | str | Path, *, tolerant: bool = False, watch: Watch | None = None) -> Inspection:
    """Decodes all of `source`, in memory that does not grow with its length.

    Args:
      source: an encoded video, or the path of one.
      watch: is shown every frame.
      tolerant: notes what is missing or damaged, where two frames at least decode, instead of raising it.

    Raises:
      VideoError: `source` is empty, not a video, has no video stream or fewer than two frames, or its colours do not
        convert to RGB; unless `tolerant`, it decodes wrongly, or lacks what its container promises.
    """
    faults: list[str] = []
    with decode.open_video(source) as stream:
        seen = _Frames(decode.time_base_of(stream), watch)
        log = wholeness.PacketLog(stream)
        for frame in decode.decoded(stream, see=log.add, faults=faults if tolerant else None):
            seen.add(frame)
        frames, time_base = seen.count, seen.time_base
        if frames == 1:
            raise VideoError(f"only one frame{_if_picture(stream)}")
        named = min(max(float(stream.average_rate or stream.guessed_rate or _UNKNOWN_RATE), _SLOWEST), _FASTEST)
        times, seconds, fps = frame_times(seen.stamps, seen.durations, time_base, named)
        shown = wholeness.FrameTimes(seen.seconds(), seen.keys, times, seconds)
        size = file_sizes.of(source, stream.container.format.name)
        missing, notes = wholeness.check(stream, log, shown, size)
        damage = _broken(faults) + seen.broken() + missing
        if damage and not tolerant:
            raise VideoError(damage[0])
        notes = damage + notes + oddities.of_stream(stream)
    notes += seen.notes()
    width, height = seen.upright_size()
    return Inspection(frames, times, seconds, fps, width, height, tuple(dict.fromkeys(notes)), *seen.summary())


class _Frames:
    """What all frames of a video say, gathered one by one."""

    def __init__(self, time_base: Fraction, watch: Watch | None) -> None:
        self.time_base, self._watch = time_base, watch
        self.stamps: list[int | None] = []
        self.durations: list[int | None] = []
        self.keys: list[bool] = []
        self._content, self._levels = hashlib.blake2b(digest_size=16), np.zeros(256, np.int64)
        self._pictures = oddities.Pictures()
        self._corrupt, self._state, self._turns = 0, None, 0

    @property
    def count(self) -> int:
        return len(self.stamps)

    def add(self, frame: av.VideoFrame) -> None:
        """Takes the next frame.  Raises VideoError where it does not convert to RGB."""
        self.stamps.append(frame.pts)
        self.durations.append(frame.duration)
        self.keys.append(frame.key_frame)
        self._corrupt += frame.is_corrupt
        turns, mirrored = orientation.of(frame)
        state = (frame.format.name, frame.width, frame.height, frame.colorspace, frame.color_range, frame.color_trc,
                 frame.interlaced_frame, turns, mirrored)  # fmt: skip
        if state != self._state:
            self._pictures.add(frame, turns, mirrored)
            _try_conversions(frame)
            self._state, self._turns = state, turns
        readable = matrices.convertible(frame)
        assert readable is not None  # it was tried
        luma, levels = brightness.of_frame(readable)
        self._content.update(np.ascontiguousarray(luma).data)
        self._levels += levels
        if self._watch:
            self._watch(self._seconds_so_far(), luma, turns, mirrored)

    def _seconds_so_far(self) -> float:
        first, now = self.stamps[0], self.stamps[-1]
        if first is None or now is None:
            return (self.count - 1) / _UNKNOWN_RATE
        return float((now - first) * self.time_base)

    def seconds(self) -> list[float | None]:
        """The time of each frame, as the container counts."""
        return [None if stamp is None else float(stamp * self.time_base) for stamp in self.stamps]

    def broken(self) -> list[str]:
        """What the decoder says of its own frames."""
        return [f"damaged: {self._corrupt} of {self.count} frames decode wrongly"] if self._corrupt else []

    def upright_size(self) -> tuple[int, int]:
        """Width and height of the first frame, as it is shown."""
        width, height = next(iter(self._pictures.sizes))
        return (height, width) if self._turns % 2 else (width, height)

    def notes(self) -> list[str]:
        return self._pictures.notes(self._levels)

    def summary(self) -> tuple[str, tuple[float, ...], float]:
        """(Digest of the luma, histogram, mean luma)."""
        return self._content.hexdigest(), *brightness.summary(self._levels)


def _try_conversions(frame: av.VideoFrame) -> None:
    """Converts a frame as records and clips do, but small.  Raises VideoError where swscale cannot."""
    size = scaling.scaled_size(frame.width, frame.height, min(_PROBE, frame.width, frame.height), multiple=2)
    readable = decode.upright(frame)
    try:
        for convert in (scaling.rgb, scaling.stored_frame):
            convert(readable, size, VideoReformatter())
    except FFmpegError as error:
        if _fault_of_the_machine(error):
            raise
        reason = f"{type(error).__name__}: {(error.strerror or str(error)).lower()}"
        raise VideoError(f"cannot be processed ({reason} from pixels of {frame.format.name} to RGB)") from error


def _if_picture(stream: av.VideoStream) -> str:
    """What to do with a file that is no video, but a picture."""
    is_picture = stream.container.format.name.endswith(("_pipe", "image2"))
    return ": it is a picture, and those of a video stand in a folder" if is_picture else ""


def _broken(faults: list[str]) -> list[str]:
    """The first of the faults that a tolerant decoder passed over."""
    more = f", and {len(faults) - 1} faults after it" if len(faults) > 1 else ""
    return [f"{faults[0]}{more}"] if faults else []


@contextlib.contextmanager
def coder_errors() -> Iterator[None]:
    """Turns the errors of decoders, scalers and encoders about a picture into a VideoError.

    What is about the machine and not about the video passes: an error of the file system, too many open files.
    """
    try:
        yield
    except (FFmpegError, ArithmeticError, MemoryError, ValueError, RuntimeError) as error:
        if _fault_of_the_machine(error):
            raise
        words = [type(error).__name__, *str(error).splitlines()[:1]]
        raise VideoError(f"cannot be processed ({': '.join(words)})") from error


def _fault_of_the_machine(error: Exception) -> bool:
    """Coders have OSErrors of their own: what they do not support or do not know."""
    of_coders = isinstance(error, FFmpegError) and error.errno in _OF_CODERS
    return isinstance(error, OSError) and not of_coders


def inspect_pictures(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float, watch: Watch | None = None
) -> Inspection:
    """Inspects a clip that is stored as pictures; `watch` is shown every one.  Raises VideoError if there are none."""
    content, levels, count = hashlib.blake2b(digest_size=16), np.zeros(256, np.int64), 0
    height, width = 0, 0
    for frame in frames:
        luma = brightness.of_rgb(frame)
        height, width = luma.shape
        content.update(luma.data)
        levels += brightness.histogram(luma)
        if watch:
            watch(count / fps, luma, 0, False)
        count += 1
    if count == 0:
        raise VideoError("no frames")
    digest, summary = content.hexdigest(), brightness.summary(levels)
    return Inspection(count, np.arange(count) / fps, count / fps, fps, width, height, (), digest, *summary)
