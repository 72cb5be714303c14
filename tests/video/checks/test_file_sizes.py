"""What a header says of the size of its file shows a cut and a second file that FFmpeg does not tell."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lift_flax.video.checks import file_sizes
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import inspect_video
from tests.support.containers.formats import FORMATS, Format, join, write
from tests.support.video_files import numbered_frames

_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


class _Pipe:
    """A file that can only be written to."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def test_a_wmv_that_was_cut_between_packets(tmp_path: Path) -> None:
    """FFmpeg knows no length where the size is not that of the header."""
    path = write(tmp_path / "a.wmv", FORMATS["sound.wmv"], _noisy(60))
    whole = path.read_bytes()
    assert inspect_video(path).notes == inspect_video(whole).notes == ()
    size = file_sizes.of(whole, "asf")
    assert size.there == size.promised == len(whole) and size.seconds == pytest.approx(2, abs=0.1)
    for share in (0.5, 0.75, 0.9):
        with pytest.raises(VideoError, match=r"^truncated: only [0-9.]+ of 2\.[01] s decode"):
            inspect_video(whole[: int(share * len(whole))])
    assert inspect_video(whole[: len(whole) // 2], tolerant=True).notes[0].startswith("truncated: only")
    (note,) = inspect_video(whole[:-40]).notes
    assert note.startswith("end missing: there are ") and "of" in note


def test_a_live_wmv_promises_nothing(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "a.wmv", FORMATS["sound.wmv"], _noisy(60)).read_bytes())
    whole[whole.index(_ASF_PROPERTIES) + 88] |= 1  # the flag of a broadcast
    assert inspect_video(bytes(whole[: len(whole) // 2])).notes[0].startswith("length unknown")
    pipe = _Pipe()
    with av.open(pipe, "w", format="asf") as out:
        stream = out.add_stream("wmv2", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in _noisy(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode(None))
    info = inspect_video(bytes(pipe.data))
    assert info.num_frames == 30 and info.notes[0].startswith("length unknown")


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_cut_in_b_frames_is_no_variable_rate(tmp_path: Path, suffix: str) -> None:
    """The last frame is stored before those that are shown before it, which a cut leaves out."""
    options = {"bf": "3", "b-adapt": "0", "b-pyramid": "none"}
    whole = write(tmp_path / f"a.{suffix}", Format(options=options), _noisy(40)).read_bytes()
    refused = 0
    for size in range(len(whole) * 85 // 100, len(whole), len(whole) // 60):
        try:
            info = inspect_video(whole[:size])
        except VideoError:
            refused += 1
            continue
        assert info.num_frames >= 38 and any(note.startswith("end missing") for note in info.notes)
    assert refused >= 4


def test_an_index_that_is_cut_off_leaves_a_variable_rate(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).integers(20, 90, 80)).tolist()
    path = write(tmp_path / "a.mkv", Format(), _noisy(80), times=times, unit=Fraction(1, 1000))
    info = inspect_video(path.read_bytes()[:-20])
    assert info.num_frames == 80 and info.notes[0].startswith("end missing") and "variable" in info.notes[1]


@pytest.mark.parametrize("name", ["last.mp4", "pieces.mp4", "sorenson.flv", "sound.flv", "sound.wmv"])
def test_a_second_file_is_told(tmp_path: Path, name: str) -> None:
    one = write(tmp_path / name, FORMATS[name], count=12)
    both = inspect_video(join(tmp_path / f"both-{name}", one, one))
    assert name == "pieces.mp4" or both.num_frames == 12  # of pieces, FFmpeg mixes some
    assert any(note.startswith("joined: another video follows") for note in both.notes)
    assert not any(note.startswith("joined") for note in inspect_video(one).notes)


@pytest.mark.parametrize("name", ["last.mp4", "plain.mkv", "sound.flv", "sound.wmv"])
def test_damaged_headers_say_nothing_and_raise_nothing(tmp_path: Path, name: str) -> None:
    head = write(tmp_path / name, FORMATS[name], count=12).read_bytes()
    kind = {"mp4": "mov,mp4", "mkv": "matroska,webm", "flv": "flv", "wmv": "asf"}[name.split(".")[-1]]
    rng = np.random.default_rng(0)
    for size in (0, 1, 12, 40, 100, 300):
        assert file_sizes.of(head[:size], kind).there == size
    for _ in range(80):
        flipped = bytearray(head)
        flipped[int(rng.integers(0, min(len(head), 200)))] = int(rng.integers(256))
        assert file_sizes.of(bytes(flipped), kind).there == len(head)


def _noisy(count: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 40, (count, 64, 96, 3))
    return (numbered_frames(range(count)) * 0.75 + noise).astype(np.uint8)
