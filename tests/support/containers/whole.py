"""Files that are odd but whole: what recorders, browsers, phones, editors and surveillance cameras write."""

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.support.containers import damaged_videos
from tests.support.containers.formats import FORMATS, VP, Format, Sound, copy_packets, join, without_rate, write
from tests.support.video_files import numbered_frames

_MS = Fraction(1, 1000)
_INTERLACED = {"flags": "+ilme+ildct", "top": "1"}


@dataclasses.dataclass(frozen=True)
class Whole:
    """A file, and what a reader must find.

    Attributes:
      path: of the file.
      numbers: what the frames show, in order; empty where only known to follow each other.
      note: words that one of the notes must hold; empty where nothing needs to be said.
      turned: the picture lies on its side, so its numbers cannot be read as they stand.
    """

    path: Path
    numbers: list[int]
    note: str = ""
    turned: bool = False


def every_format(folder: Path) -> Iterator[Whole]:
    """Each container and codec, starting at 0."""
    for name, format in FORMATS.items():
        yield Whole(write(folder / name, format, count=24), list(range(24)))


def late_starts(folder: Path) -> Iterator[Whole]:
    """The first frame comes after 0.3 s, or after an hour: sound came first, or the clock of the camera runs on."""
    names = ("plain.mkv", "vp8.webm", "last.mp4", "pieces.mp4", "sorenson.flv", "h264.ts", "old.wmv", "mpeg2.vob")
    for name, start in itertools.product(names, (9, 108000)):
        if (name, start) == ("old.wmv", 108000):
            continue  # no packet of an ASF may be so late
        container = {**FORMATS[name].container, "avoid_negative_ts": "disabled"}
        format = dataclasses.replace(FORMATS[name], container=container)
        times = range(start, start + 30)
        yield Whole(write(folder / f"late{start}-{name}", format, times=times, count=30), list(range(30)))


def other_sounds(folder: Path) -> Iterator[Whole]:
    """Sound that ends a second after the picture, or begins half a second before or after it."""
    for name in (
        "sound.mp4",
        "sound.mkv",
        "vp8.webm",
        "sound.avi",
        "sound.wmv",
        "sound.flv",
        "mpeg2.ts",
        "mpeg2.vob",
        "phone.3gp",
    ):
        format = FORMATS[name]
        assert format.sound is not None
        codec, rate = format.sound
        for how, sound, first in (
            ("longer", Sound(codec, 2.0, 0.0, rate), 0),
            ("earlier", Sound(codec, 1.5, 0.0, rate), 15),
            ("later", Sound(codec, 0.5, 0.5, rate), 0),
        ):
            if how == "earlier" and name.endswith(".avi"):
                continue  # all tracks of an AVI start together
            path = folder / f"{how}-{name}"
            yield Whole(write(path, format, times=range(first, first + 30), sound=sound, count=30), list(range(30)))


def pauses(folder: Path) -> Iterator[Whole]:
    """A camera that records on motion, in real time: 1 s, nothing for 20 s, 1 s, nothing for 40 s, 1 s."""
    times = [t + 500 * (t >= 25) + 1000 * (t >= 50) for t in range(75)]
    for name in (
        "last.mp4",
        "pieces.mp4",
        "plain.mkv",
        "vp8.webm",
        "sorenson.flv",
        "h264.ts",
        "mpeg4.avi",
        "mjpeg.avi",
        "nut.nut",
        "old.wmv",
    ):
        format = dataclasses.replace(FORMATS[name], rate=Fraction(25), sound=None)
        path = write(folder / f"motion-{name}", format, times=times, unit=Fraction(1, 25), count=75)
        yield Whole(path, list(range(75)), "pauses: 20.0, 40.0 s")


def rates(folder: Path) -> Iterator[Whole]:
    """Slow, fast and fractional rates, and times that jitter."""
    for name, rate in itertools.product(
        ("last.mp4", "plain.mkv", "vp8.webm", "mpeg4.avi", "h264.ts", "sorenson.flv", "old.wmv"),
        (Fraction(1), Fraction(30000, 1001), Fraction(120)),
    ):
        if rate == 1 and name == "h264.ts":
            continue  # x264 in a stream of one frame a second is a slide show
        format = dataclasses.replace(FORMATS[name], rate=rate, sound=None)
        yield Whole(write(folder / f"rate{float(rate):.0f}-{name}", format, count=24), list(range(24)))
    jitter = (np.cumsum(np.random.default_rng(0).integers(20, 90, 60)) - 20).tolist()
    for name in ("last.mp4", "pieces.mp4", "plain.mkv", "vp9.webm", "sorenson.flv", "h264.ts"):
        path = write(folder / f"jitter-{name}", FORMATS[name], times=jitter, unit=_MS, count=60)
        yield Whole(path, list(range(60)), "variable frame rate")
    still = [*range(0, 990, 33), 1800, 2600]  # a screen that stands still at the end
    for name in ("last.mp4", "plain.mkv", "vp9.webm", "sorenson.flv"):
        path = write(folder / f"still-{name}", FORMATS[name], times=still, unit=_MS, count=32)
        yield Whole(path, list(range(32)), "variable frame rate")


def browsers(folder: Path) -> Iterator[Whole]:
    """A browser's recording, without a rate and without a duration, and the same copied into files that have one."""
    times = (np.cumsum(np.random.default_rng(1).integers(20, 90, 90)) - 20).tolist()
    for codec in ("libvpx", "libvpx-vp9"):
        live = Format(codec, options=VP, container={"live": "1"})
        raw = without_rate(write(folder / f"{codec}.webm", live, times=times, unit=_MS, count=90))
        yield Whole(raw, list(range(90)), "length unknown")
        for suffix in (".webm", ".mkv", ".mp4"):
            if codec == "libvpx" and suffix == ".mp4":
                continue  # an MP4 holds no VP8
            yield Whole(copy_packets(raw, folder / f"fixed-{codec}{suffix}"), list(range(90)))


def joined(folder: Path) -> Iterator[Whole]:
    """Two recordings in one file, as `cat` makes it: the clock jumps on, jumps back, or starts again."""
    for name in ("h264.ts", "mpeg2.ts", "mpeg1.mpg"):
        format = dataclasses.replace(FORMATS[name], sound=None)
        first = write(folder / f"first-{name}", format, times=range(90, 120), count=30)
        for how, start in (("on", 90000), ("back", 0)):
            numbers, times = numbered_frames(range(30, 60)), range(start, start + 30)
            rest = write(folder / f"rest-{how}-{name}", format, numbers, times=times)
            note = "pauses" if how == "on" else "clock set back"
            yield Whole(join(folder / f"joined-{how}-{name}", first, rest), list(range(60)), note)
    silent = write(folder / "silent.ts", FORMATS["h264.ts"], times=range(90, 120), count=30)
    loud = dataclasses.replace(FORMATS["h264.ts"], sound=("aac", 44100))
    rest = write(folder / "loud.ts", loud, numbered_frames(range(30, 60)), times=range(120, 150))
    yield Whole(join(folder / "sound-comes-late.ts", silent, rest), list(range(60)))


def pictures(folder: Path) -> Iterator[Whole]:
    """Pixel formats, odd colours, interlacing, rotation."""
    formats = {
        "422.mkv": Format(pix_fmt="yuv422p"),
        "444.mp4": Format(pix_fmt="yuv444p"),
        "ten.mkv": Format(pix_fmt="yuv420p10le"),
        "full.mp4": Format(pix_fmt="yuvj420p"),
        "grey.mkv": Format("ffv1", "gray"),
        "sixteen.mkv": Format("ffv1", "gray16le"),
        "alpha.mkv": Format("ffv1", "yuva420p"),
        "rgb.mkv": Format("libx264rgb", "bgr24"),
        "deep.mov": Format("prores_ks", "yuv444p10le"),
        "v210.mov": Format("v210", "yuv422p10le"),
        "png.mov": Format("png", "rgb24"),
        "uncompressed.avi": Format("rawvideo", "bgr24"),
        "huffyuv.avi": Format("huffyuv", "yuv422p"),
        "small.avi": Format("msvideo1", "rgb555le"),
        "intra.avi": Format("ljpeg", "yuvj420p"),
        "gif.gif": Format("gif", "rgb8", rate=Fraction(20)),
        "interlaced.mp4": Format(options={"x264-params": "interlaced=1:tff=1"}),
        "interlaced.ts": Format("mpeg2video", options=_INTERLACED),
        "interlaced.avi": Format("mpeg4", options=_INTERLACED),
    }
    for name, format in formats.items():
        yield Whole(write(folder / name, format, count=24), list(range(24)))
    for matrix in (4, 5, 6, 7, 8, 9, 10, 12, 13):
        path = write(folder / f"matrix{matrix}.mp4", Format(), header={"colorspace": matrix}, count=24)
        yield Whole(path, list(range(24)), "rare colour matrix" if matrix in (8, 10, 12, 13) else "")
    for curve, name in ((16, "PQ"), (18, "HLG")):
        header = {"colorspace": 9, "color_primaries": 9, "color_trc": curve}
        path = write(folder / f"{name}.mp4", Format("libx264", "yuv420p10le"), header=header, count=24)
        yield Whole(path, list(range(24)), f"HDR: {name}")
    plain = write(folder / "upright.mp4", FORMATS["last.mp4"], count=24)
    for how in ("90", "180", "270", "mirror"):
        path = folder / f"turned-{how}.mp4"
        path.write_bytes(damaged_videos.turned(plain, how))
        yield Whole(path, list(range(24)), "mirrored" if how == "mirror" else f"rotated: {how}", turned=True)


def cut_in_the_header(folder: Path) -> Iterator[Whole]:
    """Broadcasts that someone tuned into, and recordings that someone ended: cut anywhere between two packets."""
    source = write(folder / "broadcast.ts", Format(options={"g": "12", "bf": "0"}), count=60).read_bytes()
    for name, first, last in (("front", 60, None), ("tail", 0, -188 * 20)):
        path = folder / f"tuned-{name}.ts"
        path.write_bytes(source[188 * first : last])
        yield Whole(path, [], "length unknown")


ALL = (every_format, late_starts, other_sounds, pauses, rates, browsers, joined, pictures, cut_in_the_header)
