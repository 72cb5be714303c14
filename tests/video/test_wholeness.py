"""A file is compared with what its container promises: a pause, a late start, a guessed rate are no loss."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import inspect_video
from tests.support.containers.formats import FORMATS, VP, Format, Sound, copy_packets, join, without_rate, write
from tests.support.video_files import numbered_frames


def test_a_recording_of_a_browser_has_its_own_seconds(tmp_path: Path) -> None:
    """Times that jitter, no frame rate and no duration in the header; then copied into files with a duration."""
    times = (np.cumsum(np.random.default_rng(0).integers(20, 90, 120)) - 20).tolist()
    live = Format("libvpx", options=VP, container={"live": "1"})
    raw = without_rate(write(tmp_path / "raw.webm", live, times=times, unit=Fraction(1, 1000), count=120))
    copies = [copy_packets(raw, tmp_path / f"fixed.{suffix}") for suffix in ("webm", "mkv")]
    seconds = (times[-1] - times[0]) / 1000
    for path in (raw, *copies):
        info = inspect_video(path)
        assert info.num_frames == 120 and info.seconds == pytest.approx(seconds, abs=0.1), path.name


def test_a_late_start_and_longer_sound_are_no_loss(tmp_path: Path) -> None:
    for name in ("plain.mkv", "vp8.webm", "sound.wmv"):
        format = FORMATS[name]
        late = 0 if name == "sound.wmv" else 9
        sound = Sound("wmav2", 3.4) if name == "sound.wmv" else None
        path = write(tmp_path / name, format, times=range(late, late + 90), sound=sound, count=90)
        info = inspect_video(path)
        assert (info.num_frames, info.notes) == (90, ()), name
        assert info.seconds == pytest.approx(3, abs=0.04)


@pytest.mark.parametrize("name", ["last.mp4", "plain.mkv", "h264.ts", "sorenson.flv", "mpeg4.avi"])
def test_pauses_are_told_and_are_no_loss(tmp_path: Path, name: str) -> None:
    times = [t + 750 * (t >= 100) + 1500 * (t >= 200) for t in range(300)]
    format = Format(FORMATS[name].codec, rate=Fraction(25))
    info = inspect_video(write(tmp_path / name, format, np.zeros((300, 32, 48, 3), np.uint8), times=times))
    assert info.num_frames == 300 and info.seconds == pytest.approx(102, abs=0.1)
    assert "pauses: 30.0, 60.0 s without a frame" in info.notes


def test_many_pauses_are_added_up(tmp_path: Path) -> None:
    times = [t + 100 * (t // 10) for t in range(60)]
    info = inspect_video(write(tmp_path / "a.mkv", Format(rate=Fraction(25)), times=times, count=60))
    assert "pauses: 5, of 20.2 s in all, the longest 4.0 s" in info.notes


def test_streams_that_were_joined(tmp_path: Path) -> None:
    first = write(tmp_path / "1.ts", FORMATS["h264.ts"], count=30)
    for start, words in ((90_000, "pauses: 2999."), (-20, "clock set back: once")):
        second = write(tmp_path / "2.ts", FORMATS["h264.ts"], times=range(start, start + 30), count=30)
        info = inspect_video(join(tmp_path / "joined.ts", first, second))
        assert info.num_frames == 60 and any(words in note for note in info.notes), info.notes


@pytest.mark.parametrize("name", ["plain.mkv", "sound.mkv", "sorenson.flv", "mpeg4.avi", "h264.ts"])
def test_a_lost_block_is_no_pause(tmp_path: Path, name: str) -> None:
    """A third in the middle is zeroed: a pause would look the same to whoever looks at the times alone."""
    source = write(tmp_path / name, FORMATS[name], _noisy(90))
    data = bytearray(source.read_bytes())
    third = len(data) // 188 // 3 * 188
    data[third : 2 * third] = bytes(third)
    with pytest.raises(VideoError, match="^(damaged|truncated)"):
        inspect_video(bytes(data))


def test_sound_hides_no_cut(tmp_path: Path) -> None:
    for name in ("sound.mkv", "vp8.webm", "sound.flv", "sound.avi", "sound.mp4"):
        source = write(tmp_path / name, FORMATS[name], _noisy(60)).read_bytes()
        with pytest.raises(VideoError, match="^(damaged|truncated|not a video)"):
            inspect_video(source[: 6 * len(source) // 10])


def test_what_is_suspicious_can_be_read_all_the_same(tmp_path: Path) -> None:
    """With `tolerant` the reason is the first note, and frames have the numbers that the inspection counts."""
    whole = write(tmp_path / "a.mkv", FORMATS["plain.mkv"], _noisy(60)).read_bytes()
    hole = bytearray(whole)
    hole[len(hole) // 3 : 2 * len(hole) // 3] = bytes(2 * len(hole) // 3 - len(hole) // 3)
    first = write(tmp_path / "a.mp4", FORMATS["first.mp4"], _noisy(60)).read_bytes()
    for data in (whole[: len(whole) // 2], bytes(hole), first[: 3 * len(first) // 4]):
        with pytest.raises(VideoError) as refused:
            inspect_video(data)
        info = inspect_video(data, tolerant=True)
        assert str(refused.value).split(":")[0] == info.notes[0].split(":")[0] in ("truncated", "damaged")
        assert 2 <= info.num_frames <= 60 and len(info.times) == info.num_frames


def _noisy(count: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 40, (count, 64, 96, 3))
    return (numbered_frames(range(count)) * 0.75 + noise).astype(np.uint8)
