"""Exact frames out of encoded video.

Loader processes import this file, so it must start fast and must never import JAX.  Each process decodes in one thread:
with as many processes as cores, threads inside a decoder only add switching.
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import simplejpeg
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from lift_flax.errors import system_reason
from lift_flax.video import scaling, stand_ins
from lift_flax.video.picture import matrices, orientation

_LISTS = set("concat dash hls image2 imf rtp rtp_mpegts rtsp sap sdp webm_dash_manifest".split())  # of other files
_OPENED = {"format_whitelist": ",".join(sorted(av.formats_available - _LISTS))}
# Too many open files, no memory, a lost network folder: the video itself may be good.
_FAULTS_OF_THE_SYSTEM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})


class VideoError(Exception):
    """A video cannot be used.  The message is the reason in a few words, without the name of the file."""


def count_frames(source: bytes | str | Path) -> int:
    """Counts the frames of `source` by decoding all of it: containers often give a wrong number.

    Raises:
      VideoError: the video is empty, damaged, or not a video.
    """
    with open_video(source) as stream:
        return sum(1 for _ in decoded(stream))


def iter_frames(
    source: bytes | str | Path, indices: Sequence[int] | np.ndarray | None = None, *, tolerant: bool = False
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Streams (native index, upright frame) in native order, and stops after the last of the frames `indices`.

    Args:
      source: an encoded video, or the path of one.
      indices: native indices, in any order; repeats are yielded once.  None for every frame.
      tolerant: passes over what cannot be decoded; numbers are then those of a tolerant `inspect_video`.

    Raises:
      VideoError: the video is empty, damaged, not a video, or too short for an index.
      ValueError: an index is negative.
    """
    numbers = None if indices is None else {int(index) for index in indices}
    if numbers is not None and not numbers:
        return
    if numbers is not None and min(numbers) < 0:
        raise ValueError(f"frame indices start at 0, got {min(numbers)}")
    last = None if numbers is None else max(numbers)
    count = 0
    with open_video(source) as stream:
        for frame in decoded(stream, faults=[] if tolerant else None):
            if numbers is None or count in numbers:
                yield count, upright(frame)
            if count == last:
                return
            count += 1
    if last is not None:
        raise VideoError(f"has {count} frames, frame {last} is missing")


def decode_frames(
    source: bytes | str | Path, indices: Sequence[int] | np.ndarray | None = None, short_side: int | None = None
) -> np.ndarray:
    """Decodes the frames at exact native indices to RGB.

    Args:
      source: an encoded video, or the path of one.
      indices: native indices, sorted or not, repeats allowed.  None for every frame in native order.
      short_side: pixels of the shorter side of the result (area filter, aspect kept).  None for the native size.

    Returns:
      uint8 RGB [T,H,W,3] with T = len(indices), row t being the frame at indices[t].

    Raises:
      VideoError: the video is empty, damaged, not a video, or too short for an index.
      ValueError: an index is negative, or `indices` is empty.
    """
    if indices is not None and len(indices) == 0:
        raise ValueError("indices is empty: ask for at least one frame")
    scaler = VideoReformatter()
    size: tuple[int, int] | None = None
    frames: dict[int, np.ndarray] = {}
    for index, frame in iter_frames(source, indices):
        if size is None:  # of the first frame, also for a stream whose size changes on the way
            size = (frame.width, frame.height)
            size = scaling.scaled_size(*size, short_side) if short_side else size
        frames[index] = scaling.rgb(frame, size, scaler)
    order = sorted(frames) if indices is None else [int(index) for index in indices]
    return np.stack([frames[index] for index in order])  # [H,W,3] -> [T,H,W,3]


def decode_flow(
    source: bytes, indices: Sequence[int] | np.ndarray | None = None, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decodes stored optical flow: a grey video with u on the left half of each picture and v on the right.

    Args:
      source: the encoded video.
      indices: native indices, sorted or not, repeats allowed.  None for every frame in native order.
      size: width and height of the result, those of the frames that it belongs to.  None for the stored size.

    Returns:
      uint8 [T,H,W,2], codes as in flow_codes.py.  A change of size does not change the codes: they stay in pixels of
      the stored clip.

    Raises:
      VideoError, ValueError: as `decode_frames`.
    """
    if indices is not None and len(indices) == 0:
        raise ValueError("indices is empty: ask for at least one frame")
    scaler = VideoReformatter()
    flows: dict[int, np.ndarray] = {}
    for index, frame in iter_frames(source, indices):
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)  # [H, padded 2W]
        halves = np.split(rows[: frame.height, : frame.width], 2, axis=1)  # two of [H, W]
        if size is not None:
            halves = [scaling.picture(half, size, scaler) for half in halves]
        flows[index] = np.stack(halves, axis=-1)  # [H, W, 2]
    order = sorted(flows) if indices is None else [int(index) for index in indices]
    return np.stack([flows[index] for index in order])  # [H,W,2] -> [T,H,W,2]


def decode_jpegs(
    pictures: Sequence[bytes], indices: Sequence[int] | np.ndarray | None = None, short_side: int | None = None
) -> np.ndarray:
    """Decodes stored JPEGs, one for each frame, as `decode_frames` decodes a video.

    Args:
      pictures: the JPEGs of a clip, in native order.
      indices: native indices, sorted or not, repeats allowed.  None for every frame in native order.
      short_side: pixels of the shorter side of the result.  None for the native size.

    Returns:
      uint8 RGB [T,H,W,3].

    Raises:
      VideoError: a frame is not a JPEG.
    """
    order = range(len(pictures)) if indices is None else [int(index) for index in indices]
    scaler = VideoReformatter()
    frames: dict[int, np.ndarray] = {}
    for index in sorted(set(order)):
        try:
            rgb = simplejpeg.decode_jpeg(pictures[index], colorspace="RGB")
        except ValueError as error:
            raise VideoError(f"frame {index} is not a JPEG ({error})") from error
        if short_side and short_side != min(rgb.shape[:2]):
            rgb = scaling.picture(rgb, scaling.scaled_size(*rgb.shape[1::-1], short_side), scaler)
        frames[index] = rgb
    return np.stack([frames[index] for index in order])  # [H,W,3] -> [T,H,W,3]


@contextlib.contextmanager
def open_video(source: bytes | str | Path) -> Iterator[av.VideoStream]:
    """Opens the main video stream for one decoding thread; closes the container on every way out.

    Raises:
      VideoError: the file is missing, empty, not a video, or without a video stream.
    """
    with _av_errors("not a video", None if isinstance(source, bytes) else source):
        if isinstance(source, bytes):
            if not source:
                raise VideoError("empty (zero bytes)")
            container = av.open(io.BytesIO(source), metadata_errors="ignore", options=_OPENED)
        else:
            if os.path.isfile(source) and os.path.getsize(source) == 0:
                raise VideoError("empty (zero bytes)")
            container = av.open(f"file:{os.fspath(source)}", metadata_errors="ignore", options=_OPENED)
    with container:
        if not container.streams.video:
            raise VideoError("no video stream")
        stream = container.streams.best("video")  # not a cover picture
        if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
            raise VideoError("damaged, or coded in a way FFmpeg cannot decode")
        if stream.disposition & Disposition.attached_pic and not stream.disposition & Disposition.timed_thumbnails:
            raise VideoError("no video, only a cover picture, as of a piece of music")
        if container.format.name == "webp_pipe" and stand_ins.animated_webp(source):
            raise VideoError(
                "an animated WebP, which FFmpeg cannot read: save it as a GIF, or its pictures in a folder"
            )
        stream.thread_type = ThreadType.NONE
        stream.codec_context.thread_count = 1
        yield stream


def decoded(
    stream: av.VideoStream, *, see: Callable[[av.Packet], None] | None = None, faults: list[str] | None = None
) -> Iterator[av.VideoFrame]:
    """Yields all frames in presentation order, as they are coded.

    Args:
      stream: the video.
      see: gets every packet of the file, of all streams, before its frames are decoded.
      faults: gets the reasons why parts cannot be read or decoded, which are then passed over; None raises the first.

    Raises:
      VideoError: the stream breaks off or holds no frame.
    """
    count = 0
    packets = container_of(stream).demux() if see else container_of(stream).demux(stream)
    with contextlib.closing(packets):  # pyright: ignore[reportArgumentType]  # a generator, says PyAV's source
        while True:
            packet, frames = None, []
            try:
                with _av_errors(f"damaged: breaks off after {count} frames"):
                    if (packet := _next_packet(packets)) is None:
                        break
                    if see and packet.size:
                        see(packet)
                    if packet.stream is stream:  # the last packet is empty: it fetches what the decoder still holds
                        frames = stream.decode(packet)
            except VideoError as error:
                if faults is None:
                    raise
                faults.append(str(error))
                if packet is None:
                    frames = _still_held(stream)
            for frame in frames:
                yield frame
                count += 1
    if count == 0:
        raise VideoError("no frames")


def _next_packet(packets: Iterator[av.Packet]) -> av.Packet | None:
    """The next packet of a file; None at its end, where PyAV fails if a stream came up after the first packets."""
    try:
        return next(packets, None)
    except IndexError:
        return None


def _still_held(stream: av.VideoStream) -> list[av.VideoFrame]:
    """The frames that the decoder holds where reading broke off."""
    try:
        return stream.decode(None)
    except (FFmpegError, EOFError):
        return []


def container_of(stream: av.VideoStream) -> InputContainer:
    """The open file that a stream of `open_video` is read from."""
    container = stream.container
    assert isinstance(container, InputContainer)  # the base class knows no reading
    return container


def time_base_of(stream: av.VideoStream) -> Fraction:
    """Seconds in one unit of the stream's times.  Raises VideoError where the file gives none."""
    if stream.time_base is None:
        raise VideoError("damaged: its times have no unit")
    return stream.time_base


def upright(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame as players show it: mirrored and turned by quarters if its file says so, in colours that can be scaled.

    Raises:
      VideoError: swscale does not know its colour matrix, and there is none like it.
    """
    turns, mirrored = orientation.of(frame)
    readable = matrices.convertible(frame)
    if readable is None:
        raise VideoError(f"cannot be processed: colour matrix {matrices.name(frame)}")
    return orientation.turned(readable, turns, mirrored) if turns or mirrored else readable


@contextlib.contextmanager
def _av_errors(reason: str, source: str | Path | None = None) -> Iterator[None]:
    """Turns what libav and the file system raise into a VideoError, which names what else the file `source` is."""
    try:
        yield
    except (FFmpegError, OSError, EOFError) as error:
        if getattr(error, "errno", None) in _FAULTS_OF_THE_SYSTEM:
            raise
        if source and (other := stand_ins.stand_in(source)):
            raise VideoError(other) from error
        if source and isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise VideoError(system_reason(error)) from error
        raise VideoError(f"{reason} ({(getattr(error, 'strerror', None) or type(error).__name__).lower()})") from error
