"""Frames to a video that plays anywhere: H.264 in an MP4, or an animated GIF."""

import contextlib
import io
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from jaxtyping import UInt8
from PIL import Image

_TICK = Fraction(1, 90000)  # s, of frames that are not equally long
_COLOURS = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}  # of films

Frames = UInt8[np.ndarray, "T H W 3"]


def h264(
    frames: Iterable[av.VideoFrame],
    *,
    fps: Fraction,
    crf: int,
    gop: int | None = None,
    pix_fmt: str = "yuv420p",
    mbtree: bool = False,
    index_first: bool = False,
    **options: str,
) -> bytes:
    """Encodes frames as an MP4 with one H.264 stream of constant frame rate.

    x264 works in one thread: whoever encodes many clips runs a process for each core.

    Args:
      frames: pictures of one size.  Readers turn YUV to RGB by the matrix and range of the first one, so these go into
        the stream.
      fps: frames per second.
      crf: x264's constant rate factor, 0 to 51; lower is better.
      gop: frames from one keyframe to the next; None leaves the choice to x264.
      pix_fmt: pixel format of the stream; frames of another one are converted.
      mbtree: makes smaller files by x264's macroblock tree; without it the same frames always give the same bytes.
      index_first: puts the index in front, so that a browser plays the film before it is loaded whole.
      options: more options of libx264, such as preset and tune.

    Returns:
      The bytes of the MP4.
    """
    options = {"crf": str(crf), "x264-params": f"mbtree={int(mbtree)}", **options}
    target = io.BytesIO()
    with contextlib.ExitStack() as stack:
        if index_first:  # to move the index, the writer opens its file again
            target = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "video.mp4")
        flags = {"movflags": "faststart"} if index_first else {}
        with av.open(target, "w", format="mp4", options=flags) as container:
            stream = container.add_stream("libx264", rate=fps, options=options)
            stream.pix_fmt = pix_fmt
            stream.codec_context.thread_count = 1
            if gop is not None:
                stream.codec_context.gop_size = gop
            for position, frame in enumerate(frames):
                if position == 0:
                    stream.width, stream.height = frame.width, frame.height
                    stream.codec_context.colorspace = frame.colorspace
                    stream.codec_context.color_range = frame.color_range
                frame.pict_type = PictureType.NONE  # otherwise the source's keyframes are copied
                frame.pts, frame.time_base = position, 1 / fps
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return Path(target).read_bytes() if isinstance(target, str) else target.getvalue()


def rgb_frames(pictures: Frames) -> Iterable[av.VideoFrame]:
    """The frames of a clip, for `h264`."""
    return (av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24") for picture in pictures)


def mp4(frames: Frames, fps: float) -> bytes:
    """An MP4 that browsers and phones play.

    An odd height or width, which yuv420p does not allow, is filled up with the last row or column.
    """
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    rate = Fraction(fps).limit_denominator(1000)
    return h264(rgb_frames(frames), fps=rate, crf=18, mbtree=True, index_first=True, tune="stillimage")


def film(
    path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: Fraction, times: Sequence[float] | None = None
) -> None:
    """Writes an MP4 that browsers and phones play, frame by frame, in memory that does not grow with its length.

    Args:
      frames: pictures of one size, with an even number of rows and columns.
      fps: frames per second, of a constant rate or on average.
      times: seconds of each frame, where they are not equally long.
    """
    unit, last, scaler = 1 / fps if times is None else _TICK, -1, VideoReformatter()
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", unit
        for position, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = scaler.reformat(frame, format="yuv420p", **_COLOURS)
            if position == 0:
                stream.width, stream.height = frame.width, frame.height
                stream.codec_context.colorspace, stream.codec_context.color_range = frame.colorspace, frame.color_range
            at = position if times is None else round(times[position] / unit)
            last = max(at, last + 1)  # no two at once
            frame.pts, frame.time_base = last, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def gif(frames: Frames, fps: float) -> bytes:
    """An endless GIF; each frame has its own 256 colours.

    GIFs count in hundredths of a second, so `fps` is kept roughly.  Equal neighbouring frames become one.
    """
    first, *rest = (Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=max(20, round(100 / fps) * 10), loop=0)
    return buffer.getvalue()
