"""Records know when their frames were on screen; what is read from them is what `predict` reads from the file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data_prep import staging
from data_prep.audit.items import inspect
from data_prep.sources.video_list import SourceClip, VideoList
from data_prep.transcode import Encoding, transcode
from data_prep.write_records import write_records
from lift_flax.data.clip_reader import ClipReader, Part, StoredFlow
from lift_flax.video import flow_codes
from lift_flax.video.clips import Preparation, Windows, open_file, read_clips
from lift_flax.video.sampling import view_grid
from tests.support.containers.timed_videos import write_timed
from tests.support.video_files import numbered_frames, read_numbers

WHOLE = Windows(longest=1000.0)
# 12 s at 30 frames a second, of which the recorder lost most after the third second and all for five seconds
NUMBERS = [*range(90), *range(90, 150, 5), *range(300, 360, 2)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = numbered_frames(range(len(NUMBERS)), 96, 96)
    times = [Fraction(number, 30) for number in NUMBERS]
    return write_timed(tmp_path_factory.mktemp("timed"), "mp4", times, frames=pictures)


def _reader(folder: Path, path: Path, encoding: Encoding) -> ClipReader:
    staged = staging._stage_one(path, folder / "staged", encoding)
    videos = VideoList(["a"], [SourceClip(path, 0, "one", "")], {"1": {"train": ["one"], "test": []}})
    records = write_records("small", videos, {"one": staged}, folder)
    flow = StoredFlow(encoding.flow, encoding.short_side) if encoding.flow != "none" else None
    return ClipReader((Part(records),), [("one", 0, 0)], 12, 48, flow, None)


@pytest.mark.parametrize(
    ("codec", "max_frames"), [("h264", 64), ("h264", None), ("jpeg", 20), ("original", 64)], ids=str
)
def test_records_and_files_give_the_same_frames(tmp_path, video, codec, max_frames):
    encoding = Encoding(codec, max_frames=max_frames, flow="none")
    reader = _reader(tmp_path, video, encoding)
    how = Preparation(codec, 256, None if codec == "original" else max_frames, "none", 12, 48)
    (clip,) = read_clips(open_file(video), how, WHOLE)
    example = reader.eval(0)
    assert read_numbers(example["clip"]) == read_numbers(clip.parts["clip"]) == clip.indices.tolist()
    assert clip.indices.tolist().count(101) >= 4  # the frame before five seconds without any
    assert (clip.start, clip.end) == (0, pytest.approx(12, abs=0.002))
    cached = ClipReader(reader.parts, reader.clips, 12, 48, None, {})
    for view in view_grid(3, 1) * 2:
        np.testing.assert_array_equal(cached.eval(0, view)["clip"], reader.eval(0, view)["clip"])
    drawn = np.array([read_numbers(reader.train(0, np.random.default_rng(i))["clip"]) for i in range(20)])
    at = np.array(NUMBERS)[drawn] / 30
    assert (np.diff(drawn, axis=1) >= 0).all() and len(np.unique(drawn[:, 1])) > 1
    spans = 12 / 64 if codec == "h264" and max_frames else 12 / 20 if codec == "jpeg" else 0.04
    free = [0, 1, 2, 11]  # spans of a second that have frames of their own
    assert (np.abs(at[:, free] - np.array(free) - 0.5) <= 0.5 + spans).all()


def test_a_record_holds_every_frame_once_with_its_time(tmp_path, video):
    clip = transcode(video, Encoding())
    assert clip.times.dtype == np.float32 and len(clip.times) == clip.num_frames < 64
    assert clip.times[0] == 0 and (np.diff(clip.times) > 0).all() and clip.seconds == pytest.approx(12, abs=0.002)
    assert clip.num_frames / clip.fps == pytest.approx(12, abs=0.01)
    reader = _reader(tmp_path, video, Encoding())
    (record,) = reader.sources[0]
    np.testing.assert_array_equal(record["times"], clip.times)
    assert record["times"].dtype == np.float32 and record["num_frames"] == clip.num_frames
    assert record["seconds"] == np.float32(clip.seconds)
    audited, _ = inspect((reader.parts[0].folder, 0), longest=20.0)
    assert audited.seconds == record["seconds"] and audited.times.tolist() == record["times"].tolist()
    whole = transcode(video, Encoding(codec="original"))
    np.testing.assert_allclose(whole.times, np.array(NUMBERS) / 30, atol=0.002)
    assert whole.num_frames == len(NUMBERS)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_flow_belongs_to_the_frames_that_are_taken(tmp_path, video, codec):
    reader = _reader(tmp_path, video, Encoding(codec, flow="dis"))
    (clip,) = read_clips(open_file(video), Preparation(codec, 256, 64, "dis", 12, 48), WHOLE)
    example = reader.eval(0)
    assert np.abs(example["flow"].astype(int) - clip.parts["flow"]).mean() < 2
    assert read_numbers(example["clip"]) == clip.indices.tolist()


def _moving(folder: Path) -> Path:
    """A pattern that moves by 3 px a frame."""
    shade = np.kron(np.random.default_rng(0).integers(40, 200, (12, 16)), np.ones((10, 10))).astype(np.uint8)
    pictures = np.stack([np.roll(np.repeat(shade[..., None], 3, axis=2), 3 * t, axis=1) for t in range(16)])
    return write_timed(folder, "mp4", [Fraction(t, 30) for t in range(16)], frames=pictures)


@pytest.mark.parametrize("codec", ["h264", "jpeg", "original"])
def test_flow_in_another_light_is_computed_anew(tmp_path, codec):
    """In the light of the recording it is the stored flow; in the dark there is none left."""
    reader = _reader(tmp_path, _moving(tmp_path), Encoding(codec, short_side=96, crf=4, flow="dis"))
    stored = reader.eval(0)
    same, black = reader.eval(0, light=lambda frames, i: frames), reader.eval(0, light=lambda frames, i: frames // 255)
    assert np.abs(same["flow"].astype(int) - stored["flow"]).mean() < 2
    np.testing.assert_array_equal(same["clip"], stored["clip"])
    moved = flow_codes.decode(stored["flow"])[..., 0]
    assert np.median(moved) == pytest.approx(3 * 96 / 120, abs=0.3)  # in pixels of the stored clip
    assert not black["clip"].any() and np.abs(flow_codes.decode(black["flow"])).mean() < 0.1
