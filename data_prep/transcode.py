"""One source video to the small, frame-exact H.264 clip that goes into a record.

Source files are not frame-addressable (B-frames, missing timestamps, containers with a wrong frame count).  The stored
clip is: constant frame rate, no B-frames, short groups of pictures, so a frame index is a place in the stream and
`num_frames` is true.
"""

import dataclasses
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from lift_flax.data import clips, decode


@dataclasses.dataclass(frozen=True)
class Transcoded:
    """A clip ready to be stored.

    Attributes:
      data: MP4 with one H.264 stream.
      num_frames: frames in `data`.
      fps: frames per second of `data`, so that num_frames / fps is the duration of the source in seconds.
      mean_luma: mean of luma over the stored frames, 0 (black) to 255 (white).
    """

    data: bytes
    num_frames: int
    fps: float
    mean_luma: float


def transcode(
    path: bytes | str | Path, *, short_side: int = 256, max_frames: int | None = 64, crf: int = 18, gop: int = 8
) -> Transcoded:
    """Encodes at most `max_frames` frames of a video, the middle frames of equal segments, in native order.

    The file is decoded twice, to count and to pick, so memory does not grow with its length.

    Args:
      path: the source, a path (or the bytes of one).
      short_side: pixels of the shorter side; a smaller source keeps its size, apart from being made even.
      max_frames: how many frames to keep at most; None keeps all.
      crf: x264's constant rate factor, lower is better.
      gop: frames from one keyframe to the next.

    Raises:
      decode.VideoError: the source is empty, damaged, or not a video.
    """
    info = decode.probe(path)
    indices: Sequence[int] = range(info.num_frames)
    if max_frames is not None and info.num_frames > max_frames:
        indices = clips.eval_indices(info.num_frames, max_frames)
    size = decode.scaled_size(info.width, info.height, min(short_side, info.width, info.height), multiple=2)
    fps = Fraction(info.fps * len(indices) / info.num_frames).limit_denominator(1001)

    buffer = io.BytesIO()
    luma = 0.0
    reformatter = VideoReformatter()
    with av.open(buffer, "w", format="mp4") as container:
        stream = _add_stream(container, size, fps, crf, gop)
        for position, (_, source) in enumerate(decode.iter_frames(path, indices)):
            frame = _to_yuv420(reformatter, source, size)
            if position == 0:
                _copy_colour_tags(frame, stream.codec_context)
            luma += _mean_luma(frame)
            frame.pts, frame.time_base = position, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Transcoded(buffer.getvalue(), len(indices), float(fps), luma / len(indices))


def _add_stream(
    container: av.container.OutputContainer, size: tuple[int, int], fps: Fraction, crf: int, gop: int
) -> av.VideoStream:
    """An H.264 stream on one thread: processes run side by side, and the same input gives the same bytes."""
    # Without mbtree=0 the same frames give other bytes from time to time.  veryfast takes half the time of the default
    # preset, for the same bytes and 0.6 dB (ARID clips, CRF 15).
    options = {"crf": str(crf), "tune": "fastdecode", "bf": "0", "preset": "veryfast", "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=fps, options=options)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = gop
    stream.codec_context.thread_count = 1
    return stream


def _to_yuv420(reformatter: VideoReformatter, frame: av.VideoFrame, size: tuple[int, int]) -> av.VideoFrame:
    """Resizes by area.  YUV sources keep their matrix and range (so shadows are not rounded); RGB becomes BT.601."""
    colour = {}
    if frame.format.is_rgb:
        colour = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG}
    result = reformatter.reformat(frame, *size, format="yuv420p", interpolation="AREA", threads=1, **colour)
    result.pict_type = av.video.frame.PictureType.NONE  # otherwise the source's keyframes would be copied
    return result


def _copy_colour_tags(frame: av.VideoFrame, codec: av.VideoCodecContext) -> None:
    """Writes the matrix and range into the stream: readers turn YUV to RGB by them."""
    codec.colorspace = frame.colorspace
    codec.color_range = frame.color_range


def _mean_luma(frame: av.VideoFrame) -> float:
    """Mean of the Y plane on the full 0 to 255 scale, whatever range the frame is coded in."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # [H, padded W]
    mean = float(rows[: frame.height, : frame.width].mean())
    if frame.color_range == ColorRange.JPEG:
        return mean
    return min(max((mean - 16.0) * 255.0 / 219.0, 0.0), 255.0)
