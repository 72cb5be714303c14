"""Videos as they come: cut off, flipped, mislabelled, odd.  Each is made of a real encoded one."""

import struct
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.support.video_files import numbered_frames

_IDENTITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
# a, b, c, d of the display matrix
_MATRICES = {
    "90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0), "mirror": (-1, 0, 0, 1), "upside": (1, 0, 0, -1),
    "mirror90": (0, -1, -1, 0), "tilt": (0.99985, 0.01745, -0.01745, 0.99985),
}  # fmt: skip


def encode(
    path: Path, frames: np.ndarray, codec: str = "libx264", pix_fmt: str = "yuv420p", times: list[int] | None = None
) -> Path:
    """Encodes uint8 [T,H,W,3] at 30 frames per second, or at `times` in milliseconds; the suffix is the container."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(format=pix_fmt)
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def truncations(source: Path, count: int) -> Iterator[tuple[str, bytes]]:
    """`source` cut off at `count` places, evenly from its first bytes to its last."""
    data = source.read_bytes()
    for k in range(count):
        size = round(len(data) * (k + 0.5) / count)
        yield f"cut{k:02}-{source.name}", data[:size]


def mutations(source: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`source` with bits flipped, or a region zeroed, doubled, dropped or swapped with another."""
    data = source.read_bytes()
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        mutant = bytearray(data)
        kind = ("flip1", "flip9", "flip99", "zero", "double", "drop", "swap")[k % 7]
        at, to = sorted(rng.integers(0, len(data), 2).tolist())
        to = min(to, at + len(data) // 5)
        if kind.startswith("flip"):
            for place in rng.integers(0, len(data), int(kind[4:])):
                mutant[place] ^= 1 << int(rng.integers(8))
        elif kind == "zero":
            mutant[at:to] = bytes(to - at)
        elif kind == "double":
            mutant[at:at] = data[at:to]
        elif kind == "drop":
            del mutant[at:to]
        else:
            other = int(rng.integers(0, len(data) - (to - at)))
            mutant[at:to], mutant[other : other + to - at] = data[other : other + to - at], data[at:to]
        yield f"{kind}-{k:02}-{source.name}", bytes(mutant)


def turned(source: Path, how: str) -> bytes:
    """An MP4 that asks players to turn or mirror its video (its header's first matrix, of the file, stays)."""
    data = source.read_bytes()
    a, b, c, d = (round(number * 2**16) for number in _MATRICES[how])
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    first = data.index(_IDENTITY)
    second = data.index(_IDENTITY, first + 1)
    return data[:second] + matrix + data[second + len(matrix) :]


def lying_duration(source: Path) -> bytes:
    """An MP4 of which every duration is a third of the truth."""
    data = bytearray(source.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.find(box)
        if at >= 0:
            (value,) = struct.unpack_from(">I", data, at + offset)
            struct.pack_into(">I", data, at + offset, value // 3)
    return bytes(data)


def odd_files(folder: Path) -> dict[str, str]:
    """Writes one file of each odd or bad kind; {name: what an inspection must say of it}."""
    numbered = numbered_frames(range(30))
    other = numbered_frames(range(30), 128, 96)
    expected = {}

    def add(name: str, words: str, data: bytes | None = None) -> Path:
        expected[name] = words
        if data is not None:
            (folder / name).write_bytes(data)
        return folder / name

    plain = encode(folder / "plain.mp4", numbered)
    expected["plain.mp4"] = ""
    add("zero.mp4", "empty (zero bytes)", b"")
    add("text.mp4", "not a video", b"not a video\n" * 500)
    add("picture.mp4", "only one frame")
    Image.fromarray(numbered[0]).save(folder / "picture.mp4", "PNG")
    with wave.open(str(add("sound.avi", "no video stream")), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    encode(add("one.mp4", "only one frame"), numbered[:1])
    _no_frames(add("none.avi", "no frames"))
    for how in ("90", "180", "270"):
        add(f"turned-{how}.mp4", f"rotated: {how}", turned(plain, how))
    for how in ("mirror", "upside", "mirror90"):
        add(f"turned-{how}.mp4", "mirrored", turned(plain, how))
    add("turned-tilt.mp4", "", turned(plain, "tilt"))
    add("duration.mp4", "wrong duration", lying_duration(plain))
    encode(add("odd.mkv", "odd size: 95x63"), numbered[:, :63, :95], "ffv1", "yuv444p")
    encode(add("ten.mkv", "more than 8 bits: 10"), numbered, "ffv1", "yuv420p10le")
    encode(add("grey.mkv", "grey"), numbered, "ffv1", "gray")
    encode(add("alpha.mkv", "alpha channel"), numbered, "ffv1", "yuva420p")
    encode(add("rgb.mkv", ""), numbered, "ffv1", "bgr0")
    times = [33 * k + (400 if k > 15 else 0) for k in range(30)]
    encode(add("vfr.mkv", "variable frame rate"), numbered, times=times)
    sizes = [encode(folder / f"part{k}.h264", frames).read_bytes() for k, frames in enumerate((numbered, other))]
    add("sizes.h264", "resolution changes: 96x64, 128x96", b"".join(sizes))
    for k in range(2):
        (folder / f"part{k}.h264").unlink()
    add("really.avi", "", plain.read_bytes())  # an MP4 by another name
    add("really.mp4", "", encode(folder / "old.avi", numbered, "mpeg4").read_bytes())
    expected["old.avi"] = ""
    add("web.webm", "")
    encode(folder / "web.webm", numbered, "libvpx")
    add("fragments.ts", "length unknown")
    encode(folder / "fragments.ts", numbered)
    return expected


def _no_frames(path: Path) -> None:
    """A video track with nothing in it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
