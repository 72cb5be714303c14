"""Decodes all of a video file to report its true length, and what is bad or odd about it.

A file is *bad* if its clips would not show what was filmed: `inspect_video` raises an error with the reason.  It is
*odd* if other readers could read it wrongly, but its records are right: `notes` says why.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange
from jaxtyping import Float64, Int, UInt8

from lift_flax.video import decode
from lift_flax.video.decode import VideoError
from lift_flax.video.frame_times import frame_times
from lift_flax.video.gamma import LUMA
from lift_flax.video.sampling import Timing

LUMA_BINS = 32  # of the histogram, each 8 levels wide
_SLACK_FRAMES = 2  # so many frames fewer than promised count as a miscount, not as a cut
# The same as a share, by container; the promises of other containers are not reliable.
_SLACK_SHARE = {"avi": 0.1, "asf": 0.1, "mov": 0.0, "matroska": 0.0}
_HOLE_SECONDS, _HOLE_SHARE = 0.5, 0.2  # of a pause; above both, frames were lost
_SLOWEST, _FASTEST = 0.01, 1000.0  # frames per second that count as true
_FULL_RANGE = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.int64)  # of studio levels


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
      luma: share of the pixels in each of `LUMA_BINS` equal ranges of luma, from black to white.
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


def inspect_video(source: bytes | str | Path) -> Inspection:
    """Decodes all of `source`, in memory that does not grow with its length.

    Args:
      source: an encoded video, or the path of one.

    Raises:
      VideoError: `source` is empty, not a video, has no video stream or fewer than two frames, decodes wrongly, or has
        fewer frames than its container promises.
    """
    content, levels = hashlib.blake2b(digest_size=16), np.zeros(256, np.int64)
    sizes: dict[tuple[int, int], None] = {}
    times: list[int | None] = []
    durations: list[int | None] = []
    corrupt, interlaced, shown = 0, False, (0, False)
    pixels: av.VideoFormat | None = None
    with decode.open_video(source) as stream:
        for frame in decode.decoded(stream):
            corrupt += frame.is_corrupt
            interlaced = interlaced or frame.interlaced_frame
            shown, pixels = decode.orientation(frame), frame.format
            sizes[frame.width, frame.height] = None
            times.append(frame.pts)
            durations.append(frame.duration)
            luma, full_range = _luma(frame)
            content.update(np.ascontiguousarray(luma).data)
            levels += _histogram(luma, full_range)
        assert pixels is not None  # `decoded` raises where there is no frame
        count, time_base = len(times), decode.time_base_of(stream)
        fps = min(max(float(stream.average_rate or stream.guessed_rate or 25), _SLOWEST), _FASTEST)
        if corrupt:
            raise VideoError(f"damaged: {corrupt} of {count} frames decode wrongly")
        if count == 1:
            raise VideoError("only one frame")
        notes = _check_promises(stream, times, fps)
        notes += _rate_notes(times, time_base) + _stream_notes(stream)
    notes += _picture_notes(list(sizes), shown, pixels) + ["interlaced: stored as it is"] * interlaced
    width, height = next(iter(sizes))
    if shown[0] % 2:
        width, height = height, width
    timing = frame_times(times, durations, time_base, fps)
    return Inspection(count, *timing, width, height, tuple(notes), content.hexdigest(), *_summary(levels))


@contextlib.contextmanager
def coder_errors() -> Iterator[None]:
    """Turns the errors of decoders, scalers and encoders about a picture into a VideoError.

    An OSError passes: it is about the machine, not about the video.
    """
    try:
        yield
    except (FFmpegError, ArithmeticError, MemoryError, ValueError) as error:
        if isinstance(error, OSError):
            raise
        words = [type(error).__name__, *str(error).splitlines()[:1]]
        raise VideoError(f"cannot be processed ({': '.join(words)})") from error


def inspect_pictures(frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float) -> Inspection:
    """Inspects a clip that is stored as pictures.  Raises VideoError if there are none."""
    content, levels, count = hashlib.blake2b(digest_size=16), np.zeros(256, np.int64), 0
    height, width = 0, 0
    weights = np.array(LUMA, np.float32)
    for frame in frames:
        luma = np.round(frame @ weights).astype(np.uint8)  # [H, W, 3] -> [H, W]
        height, width = luma.shape
        content.update(luma.data)
        levels += _histogram(luma, full_range=True)
        count += 1
    if count == 0:
        raise VideoError("no frames")
    times = np.arange(count) / fps
    return Inspection(count, times, count / fps, fps, width, height, (), content.hexdigest(), *_summary(levels))


def _summary(levels: Int[np.ndarray, "256"]) -> tuple[tuple[float, ...], float]:
    """(Histogram in bins, mean) of the counts of levels."""
    shares = levels / levels.sum()
    bins = np.round(shares.reshape(LUMA_BINS, -1).sum(axis=1), 5)  # [256] -> [bins]
    return tuple(bins.tolist()), float(np.dot(shares, np.arange(256)))


def _luma(frame: av.VideoFrame) -> tuple[UInt8[np.ndarray, "H W"], bool]:
    """(Luma, whether its levels are 0 to 255 rather than 16 to 235)."""
    first = frame.format.components[0]
    if frame.format.is_planar and first.is_luma and first.bits == 8:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)  # [H, padded W]
        return rows[: frame.height, : frame.width], frame.color_range == ColorRange.JPEG
    grey = frame.reformat(format="gray", dst_color_range=ColorRange.JPEG, threads=1)
    return grey.to_ndarray(), True


def _histogram(luma: UInt8[np.ndarray, "H W"], full_range: bool) -> Int[np.ndarray, "256"]:
    """Number of pixels at each level from 0 to 255; of a large picture, only pixels on a grid are counted."""
    step = max(1, min(luma.shape) // 128)
    levels = np.bincount(luma[::step, ::step].ravel(), minlength=256)
    return levels if full_range else np.bincount(_FULL_RANGE, weights=levels, minlength=256).astype(np.int64)


def _check_promises(stream: av.VideoStream, times: list[int | None], fps: float) -> list[str]:
    """Notes on wrong lengths in the container.  Raises VideoError if frames are missing.

    A container may promise a number of frames and a duration.  Cut clips hide frames from players, so a file is
    truncated only if it falls short of both promises.
    """
    container = stream.container
    slack = next((share for name, share in _SLACK_SHARE.items() if name in container.format.name), None)
    count, notes, short = len(times), [], []
    time_base = decode.time_base_of(stream)
    decoded = _seconds(times, time_base, fps)
    seconds = _promised_seconds(stream)
    if slack is None or not (stream.frames or seconds):
        _check_holes(times, time_base)
        return ["length unknown: its container promises none, so a cut would not show"]
    expected = stream.frames or 0.9 * (seconds or 0) * fps
    if count < expected:  # a pause in a video with all its frames is no damage
        _check_holes(times, time_base)
    if stream.frames:
        short.append(stream.frames - count)
        if count != stream.frames:
            notes.append(f"miscounted: {count} frames where the file promises {stream.frames}")
    if seconds:
        short.append((seconds - decoded) * fps)
        if abs(seconds - decoded) > max(0.5, 0.1 * decoded):
            notes.append(f"wrong duration: {decoded:.1f} s where the file promises {seconds:.1f} s")
    if short and min(short) > max(_SLACK_FRAMES, slack * count):
        promised = f"{count} of {stream.frames} frames" if stream.frames else f"{decoded:.1f} of {seconds:.1f} s"
        raise VideoError(f"truncated: only {promised} decode")
    return notes


def _check_holes(times: list[int | None], time_base: Fraction) -> None:
    """Raises VideoError if frames are missing inside a video, as after the loss of a block of the file."""
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return
    steps = np.diff(sorted(known)) * float(time_base)
    whole, longest = steps.sum(), steps.max()
    if longest > max(_HOLE_SECONDS, _HOLE_SHARE * whole, 5 * np.median(steps)):
        raise VideoError(f"damaged: no frame for {longest:.1f} of {whole:.1f} s")


def _promised_seconds(stream: av.VideoStream) -> float | None:
    """The promised duration of the video stream, or of a container that holds nothing else."""
    if stream.duration:
        return float(stream.duration * decode.time_base_of(stream))
    container = decode.container_of(stream)
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _seconds(times: list[int | None], time_base: Fraction, fps: float) -> float:
    """Seconds from the first frame to the end of the last; from the number of frames if some have no time."""
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return len(times) / fps
    return float((max(known) - min(known)) * time_base) + 1 / fps


def _rate_notes(times: list[int | None], time_base: Fraction) -> list[str]:
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return []
    steps = np.diff(sorted(known))
    if steps.max() <= 1.5 * np.median(steps) and steps.min() >= 0.5 * np.median(steps):
        return []
    low, high = (float(step * time_base) * 1000 for step in (int(steps.min()), int(steps.max())))
    return [f"variable frame rate: {low:.0f} to {high:.0f} ms a frame"]


def _stream_notes(stream: av.VideoStream) -> list[str]:
    notes = []
    if (streams := len(stream.container.streams.video)) > 1:
        notes.append(f"several streams: {streams}, of which the main one is used")
    if (aspect := stream.sample_aspect_ratio) not in (None, 0, 1):
        notes.append(f"pixels not square: {aspect.numerator}:{aspect.denominator}, stored as they are")
    if stream.metadata.get("alpha_mode") == "1":
        notes.append("alpha channel")
    return notes


def _picture_notes(sizes: list[tuple[int, int]], shown: tuple[int, bool], pixels: av.VideoFormat) -> list[str]:
    notes = []
    turns, mirrored = shown
    if len(sizes) > 1:
        notes.append("resolution changes: " + ", ".join(f"{width}x{height}" for width, height in sizes))
    if turns:
        notes.append(f"rotated: {90 * turns} degrees clockwise")
    if mirrored:
        notes.append("mirrored")
    if any(side % 2 for side in sizes[0]):
        notes.append("odd size: {}x{}".format(*sizes[0]))
    if (bits := max(component.bits for component in pixels.components)) > 8:
        notes.append(f"more than 8 bits: {bits} a channel")
    if sum(not component.is_alpha for component in pixels.components) == 1 and pixels.name != "pal8":
        notes.append("grey")
    if any(component.is_alpha for component in pixels.components):
        notes.append("alpha channel")
    return notes
