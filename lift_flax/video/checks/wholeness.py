"""Whether a file holds what its container promises, by the container's own rules.

A container may promise a number of frames (the index of MP4 and AVI) and an end.  MP4 and AVI count it for each track,
the others for whatever ends last, and Matroska counts it from time 0, not from the first frame.  So sound may last
longer than the picture, the first frame may come late, and a camera that records on motion may pause: none is damage.
"""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float64

from lift_flax.video import decode
from lift_flax.video.checks import oddities
from lift_flax.video.checks.file_sizes import FileSize

_SLACK_FRAMES = 2  # so many frames fewer than promised count as a miscount, not as a cut
# The same as a share, by container; the promises of other containers are not reliable.
_SLACK_SHARE = {"avi": 0.1, "asf": 0.1, "flv": 0.1, "mov": 0.0, "matroska": 0.0}
_BY_TRACK = ("avi", "mov")  # containers that promise an end for each track
_PACKED = ("matroska", "flv")  # containers whose packets follow each other with short headers between them
_HEADERS = 400  # bytes
_HOLE_SECONDS, _HOLE_SHARE = 0.5, 0.2  # of a step; above both, frames are missing if something else says so too
_PAUSE = 1.0  # seconds
_LONG = 5  # so many usual steps make a pause or a hole
_NEAR = 4  # usual steps at most from a damaged packet to the hole that it left
_REORDERED = 16  # frames that a codec holds back at most
_REWIND = 0.5  # seconds back that begin another recording
_SHOWN = 3  # pauses that a note names one by one


class PacketLog:
    """What the packets of a file say, in memory that does not grow with a whole one.

    Args:
      stream: the video, before its first packet is read.

    Attributes:
      hidden: packets of the video that an edit list hides.
      end: seconds at which the last of all streams ends.
      marked: packets that the container marks, because others are missing before them.
    """

    def __init__(self, stream: av.VideoStream):
        self._stream = stream
        self._packed = _named(stream, _PACKED)
        self._by_track = _named(stream, _BY_TRACK)
        self._listed = len(stream.index_entries)
        self.hidden, self.marked, self.end = 0, 0, 0.0
        self._marked_at: list[float] = []
        self._passed_over_at: list[float] = []  # bytes that belong to no packet
        self._expected: int | None = None  # position of the next packet

    def add(self, packet: av.Packet) -> None:
        """Takes the next packet of any stream."""
        expected, self._expected = self._expected, None if packet.pos is None else packet.pos + packet.size
        self.marked += packet.is_corrupt
        own = packet.stream is self._stream
        self.hidden += own and packet.is_discard
        if packet.pts is None or packet.time_base is None:
            return
        seconds = float(packet.pts * packet.time_base)
        self.end = max(self.end, seconds + float((packet.duration or 0) * packet.time_base))
        if own and packet.is_corrupt:
            self._marked_at.append(seconds)
        if self._packed and expected is not None and packet.pos is not None and packet.pos - expected > _HEADERS:
            self._passed_over_at.append(seconds)

    def listed_frames(self) -> int:
        """Packets that the file's own index lists and shows, once all are read; 0 where it has no whole index."""
        own = self._by_track and len(self._stream.index_entries) == self._listed  # else reading has made it
        return self._listed - self.hidden if own else 0

    def lost_between(self, start: float, end: float, *, joined: bool) -> bool:
        """Whether data is missing between two times; marks are none where a joined recording begins."""
        places = self._passed_over_at if joined else self._passed_over_at + self._marked_at
        return any(start <= place <= end for place in places)


class FrameTimes(NamedTuple):
    """When the decoded frames are shown.

    Attributes:
      stamps: seconds as the container counts, None where it gives none.
      keys: whether each is a keyframe.
      times, seconds: see `Inspection`.
    """

    stamps: Sequence[float | None]
    keys: Sequence[bool]
    times: Float64[np.ndarray, "N"]
    seconds: float

    def usual_step(self) -> float:
        return float(np.median(np.diff(self.times))) or self.seconds / len(self.times)


def check(stream: av.VideoStream, log: PacketLog, frames: FrameTimes, size: FileSize) -> tuple[list[str], list[str]]:
    """(What is missing, notes on what is odd) about the length of a file.

    Args:
      stream: the video.
      log: all packets of the file.
      frames: all frames that decoded, two at least.
      size: what its header says of its bytes.
    """
    damage, notes = _compare(stream, log, frames, size)
    if not damage:
        damage = _holes(log, frames, fewer=len(frames.keys) < _promised_frames(stream, log))
    if log.marked:
        places = "one place" if log.marked == 1 else f"{log.marked} places"
        notes.append(f"interrupted: packets are missing at {places}, or files were joined there")
    if size.joined:
        notes.append(
            "joined: another video follows in the file and is not read whole; join the parts with `ffmpeg -f concat`"
        )
    return damage, notes + _clock_notes(frames)


def _compare(stream: av.VideoStream, log: PacketLog, frames: FrameTimes, size: FileSize) -> tuple[list[str], list[str]]:
    """What is there beside what is promised.  Only a file that falls short of every promise is cut off.

    Of a file whose last bytes are missing, one promise is enough, and nothing is taken for a miscount.
    """
    share = next((share for name, share in _SLACK_SHARE.items() if _named(stream, (name,))), None)
    promised, ends = _promised_frames(stream, log), _promised_ends(stream, log, frames, size)
    notes = []
    in_pieces = _named(stream, ("mov",)) and not stream.frames  # each piece of a fragmented MP4 lists its own frames
    if size.cut and not (promised or ends):
        return [f"truncated: only {size.there:,} of {size.promised:,} bytes are there"], notes
    if share is None or in_pieces or not (promised or ends):
        notes.append("length unknown: its container promises none, so a cut would not show")
    if share is None:
        return [], notes
    if _named(stream, ("avi",)) and not promised:
        notes.append("index missing, as where a file was cut off")
    share = 0.0 if size.cut else share
    short = _fewer_frames(len(frames.keys), promised, share, notes)
    short += _early_ends(frames, ends, share, notes, cut=size.cut)
    if short and (size.cut or len(short) == len(ends) + bool(promised)):
        return [f"truncated: only {short[0]} decode"], notes
    if size.cut:
        notes.append(f"end missing: there are {size.there:,} of {size.promised:,} bytes, which held two frames at most")
    return [], notes


def _fewer_frames(count: int, promised: int, share: float, notes: list[str]) -> list[str]:
    """What is there of the promised frames where too many are missing; adds to `notes`."""
    if promised and promised != count:
        notes.append(f"miscounted: {count} frames where the file promises {promised}")
    missing = promised - count
    return [f"{count} of {promised} frames"] if missing > max(_SLACK_FRAMES, share * count) else []


def _early_ends(
    frames: FrameTimes, ends: list[tuple[float, float]], share: float, notes: list[str], *, cut: bool
) -> list[str]:
    """What is there of each promised end that comes too early; adds to `notes`."""
    steps, usual = np.diff(frames.times), frames.usual_step()
    steps = steps[~_is_hole(frames)]
    longest = float((steps[:-_REORDERED] if cut else steps).max(initial=usual))
    slack = max(_SLACK_FRAMES * usual, longest)  # the last frame may last as long as any
    if cut:  # frames are stored after later ones that they refer to, so a cut also leaves out some before the last one
        late = steps[-_REORDERED:]
        left_out = float((late[late > longest] - usual).sum())
        ends = [(end, there - left_out) for end, there in ends]
    for end, there in ends:
        if end - there > slack or frames.seconds - end > max(0.5, 0.1 * frames.seconds):
            notes.append(f"wrong duration: {there:.1f} s where the file promises {end:.1f} s")
    return [f"{there:.1f} of {end:.1f} s" for end, there in ends if end - there > max(slack, share * frames.seconds)]


def _promised_frames(stream: av.VideoStream, log: PacketLog) -> int:
    """0 where the container promises none; the header of an AVI also counts the places of frames left out."""
    return log.listed_frames() or (0 if _named(stream, ("avi",)) else stream.frames)


def _promised_ends(
    stream: av.VideoStream, log: PacketLog, frames: FrameTimes, size: FileSize
) -> list[tuple[float, float]]:
    """(Seconds promised, seconds that are there) for each end that the container promises."""
    container = decode.container_of(stream)
    known = [stamp for stamp in frames.stamps if stamp is not None]
    start = known[0] if known else 0.0
    ends = []
    length = stream.frames if _named(stream, ("avi",)) else stream.duration  # the duration of a cut AVI is a guess
    whole = length and float(length * decode.time_base_of(stream))
    whole = whole or (container.duration and container.duration / av.time_base) or size.seconds
    if _named(stream, _BY_TRACK):
        if whole and (length or len(container.streams) == 1):
            ends.append((whole, frames.seconds))
    elif whole:
        ends.append((whole, max(log.end, start + frames.seconds, frames.seconds)))
    with contextlib.suppress(KeyError, ValueError):  # of the track alone, in Matroska
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        own = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        ends.append((own, max(start, 0.0) + frames.seconds))
    return ends


def _named(stream: av.VideoStream, containers: tuple[str, ...]) -> bool:
    return any(name in stream.container.format.name for name in containers)


def _is_hole(frames: FrameTimes) -> np.ndarray:
    """Which steps are so long that frames may be missing, [N-1]."""
    steps = np.diff(frames.times)
    return steps > max(_HOLE_SECONDS, _HOLE_SHARE * float(steps.sum()), _LONG * frames.usual_step())


def _holes(log: PacketLog, frames: FrameTimes, *, fewer: bool) -> list[str]:
    """The longest step without frames where frames are missing, as after the loss of a block; a pause is no loss."""
    steps, near = np.diff(frames.times), _NEAR * frames.usual_step()
    lost = []
    for index in np.flatnonzero(_is_hole(frames)).tolist():
        before, after = frames.stamps[index], frames.stamps[index + 1]
        if before is None or after is None:
            continue
        if fewer or log.lost_between(before - near, after + near, joined=frames.keys[index + 1]):
            lost.append(steps[index])
    return [f"damaged: no frame for {max(lost):.1f} of {steps.sum():.1f} s"] if lost else []


def _clock_notes(frames: FrameTimes) -> list[str]:
    """Notes on pauses, on a rate that varies, and on a clock that was set back."""
    steps = np.diff(frames.times)
    paused = steps > max(_PAUSE, _LONG * frames.usual_step())
    pauses, notes = steps[paused], []
    if pauses.size > _SHOWN:
        notes.append(f"pauses: {pauses.size}, of {pauses.sum():.1f} s in all, the longest {pauses.max():.1f} s")
    elif pauses.size:
        notes.append(f"pauses: {', '.join(f'{pause:.1f}' for pause in pauses)} s without a frame")
    notes += oddities.of_rate(steps[~paused])
    known = [stamp for stamp in frames.stamps if stamp is not None]
    if back := int(np.sum(np.diff(known) < -_REWIND)):
        notes.append(f"clock set back: {'once' if back == 1 else f'{back} times'}, as where recordings are joined")
    return notes
