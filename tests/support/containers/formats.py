"""Small real videos in every container that people have, with sound, late starts, pauses and rare settings."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.video_files import numbered_frames

VP = {"deadline": "realtime", "cpu-used": "8", "threads": "1"}  # options of libvpx


@dataclasses.dataclass(frozen=True)
class Sound:
    """Silence beside the video: its codec, seconds from its start to its end, and when it starts."""

    codec: str
    seconds: float
    start: float = 0.0
    rate: int = 44100


@dataclasses.dataclass(frozen=True)
class Format:
    """How a video is written; the suffix of the file names the container.

    Attributes:
      codec, pix_fmt, options: of the video.
      container: options of the container.
      rate: frames per second that the file names.
      sound: codec and rate of silence of the same length.
      size: width and height.
    """

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    container: dict[str, str] = dataclasses.field(default_factory=dict)
    rate: Fraction = Fraction(30)
    sound: tuple[str, int] | None = None
    size: tuple[int, int] = (96, 64)


FORMATS = {
    "last.mp4": Format(),
    "first.mp4": Format(container={"movflags": "faststart"}),
    "pieces.mp4": Format(container={"movflags": "frag_keyframe+empty_moov"}, options={"g": "12"}),
    "sound.mp4": Format(sound=("aac", 44100)),
    "hevc.mp4": Format("libx265", options={"x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "av1.mp4": Format("libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}),
    "mpeg4.mov": Format("mpeg4", sound=("pcm_s16le", 44100)),
    "mjpeg.mov": Format("mjpeg", "yuvj420p"),
    "prores.mov": Format("prores_ks", "yuv422p10le"),
    "phone.3gp": Format("h263", sound=("libopencore_amrnb", 8000), size=(128, 96)),
    "tablet.3gp": Format("mpeg4"),
    "itunes.m4v": Format("mpeg4"),
    "plain.mkv": Format(),
    "sound.mkv": Format(options={"g": "12"}, sound=("aac", 44100)),
    "ffv1.mkv": Format("ffv1", options={"level": "3", "slicecrc": "1"}),
    "vp8.webm": Format("libvpx", options=VP, sound=("libopus", 48000)),
    "vp9.webm": Format("libvpx-vp9", options=VP),
    "live.webm": Format("libvpx", options=VP, container={"live": "1"}),
    "mpeg4.avi": Format("mpeg4"),
    "sound.avi": Format("mpeg4", sound=("mp2", 44100)),
    "mjpeg.avi": Format("mjpeg", "yuvj420p", sound=("pcm_s16le", 44100)),
    "old.wmv": Format("msmpeg4"),
    "sound.wmv": Format("wmv2", sound=("wmav2", 44100)),
    "sorenson.flv": Format("flv"),
    "sound.flv": Format(sound=("aac", 44100)),
    "h264.ts": Format(options={"g": "12"}),
    "mpeg2.ts": Format("mpeg2video", sound=("mp2", 44100)),
    "hevc.ts": Format("libx265", options={"x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "mpeg1.mpg": Format("mpeg1video", sound=("mp2", 44100)),
    "mpeg2.vob": Format("mpeg2video", sound=("ac3", 48000)),
    "bare.h264": Format(),
    "nut.nut": Format("mpeg4"),
    "mxf.mxf": Format("mpeg2video", rate=Fraction(25)),
    "vp8.ivf": Format("libvpx", options=VP),
    "vp8.ogv": Format("libvpx", options=VP),
}


def write(
    path: Path,
    format: Format,
    frames: np.ndarray | None = None,
    *,
    times: Sequence[int] | None = None,
    unit: Fraction | None = None,
    sound: Sound | None = None,
    count: int = 48,
    header: dict[str, Any] | None = None,
) -> Path:
    """Writes a video: the same bytes every time, so that the same damage has the same effect.

    Args:
      path: of the file.
      format: how it is written.
      frames: uint8 [T,H,W,3]; by default `count` numbered ones.
      times: of each frame, in units of `unit`; by default 0, 1, 2, ...
      unit: seconds; by default one frame of the format's rate.
      sound: silence; by default what the format says.
      header: fields of the encoder, such as colorspace; the frames get them, too.
    """
    frames = numbered_frames(range(count), *format.size) if frames is None else frames
    unit = unit or 1 / format.rate
    if sound is None and format.sound:
        sound = Sound(format.sound[0], float(len(frames) * unit), rate=format.sound[1])
    with av.open(str(path), "w", options={"fflags": "+bitexact", **format.container}) as out:
        options = {"mbtree": "0", **format.options} if format.codec.startswith("libx264") else format.options
        stream = out.add_stream(format.codec, rate=format.rate, options=options)
        stream.codec_context.thread_count = 1
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = format.pix_fmt
        stream.time_base = stream.codec_context.time_base = unit
        for name, value in (header or {}).items():
            setattr(stream.codec_context, name, value)
        audio = out.add_stream(sound.codec, rate=sound.rate, layout="mono", bit_rate=64000) if sound else None
        coded: list[tuple[float, Any, Any]] = []
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(format=format.pix_fmt)
            frame.pts, frame.time_base = index if times is None else times[index], unit
            for name, value in (header or {}).items():
                setattr(frame, name, value)
            coded.append((float(frame.pts * unit), stream, frame))
        if audio is not None:
            assert sound is not None
            coded += [(float(block.pts * block.time_base), audio, block) for block in _silence(audio, sound)]
        for _, target, frame in sorted(coded, key=lambda item: item[0]):
            out.mux(target.encode(frame))
        for target in (stream, audio) if audio else (stream,):
            out.mux(target.encode(None))
    return path


def _silence(audio: Any, sound: Sound) -> list[Any]:
    context = audio.codec_context
    context.open(strict=False)
    size, name = context.frame_size or 1024, context.format.name
    level = np.zeros((1, size), {"s16": np.int16, "s16p": np.int16, "fltp": np.float32, "flt": np.float32}[name])
    blocks = []
    for number in range(round(sound.seconds * sound.rate / size)):
        block = av.AudioFrame.from_ndarray(level, name, "mono")
        block.rate, block.time_base = sound.rate, Fraction(1, sound.rate)
        block.pts = number * size + round(sound.start * sound.rate)
        blocks.append(block)
    return blocks


def join(path: Path, *parts: Path) -> Path:
    """One file after the other, as `cat` does."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def copy_packets(source: Path, path: Path) -> Path:
    """Copies the coded video into another file, as `ffmpeg -c copy` does."""
    with av.open(str(source)) as old, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return path


def without_rate(path: Path) -> Path:
    """Takes the frame rate out of a WebM: browsers write none."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x23\xe3\x83")  # DefaultDuration becomes an element without meaning
    data[at : at + 2] = bytes([0xEC, 0x80 | (data[at + 3] & 0x7F) + 2])
    path.write_bytes(data)
    return path
