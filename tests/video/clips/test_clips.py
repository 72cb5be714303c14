"""Clips out of files: the frames that a record of the same file would give, in any number of windows."""

import numpy as np
import pytest

from data_prep.transcode import Encoding, transcode
from lift_flax.errors import UserError
from lift_flax.video import decode, sampling
from lift_flax.video.clips import Preparation, Windows, open_file, read_clips
from tests.support.video_files import numbered_frames, read_numbers, write_video

WHOLE = Windows(longest=1000.0)


def _how(codec="h264", max_frames: int | None = 64, flow="none", num_frames=12, size=48) -> Preparation:
    return Preparation(codec, 256, max_frames, flow, num_frames, size)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """200 numbered frames at 10 a second."""
    frames = numbered_frames(range(200), width=96, height=96)
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", frames, fps=10)


@pytest.mark.parametrize("codec", ["h264", "jpeg", "original"])
@pytest.mark.parametrize("count", [5, 64, 200])
def test_the_same_frames_as_of_a_record(tmp_path, codec, count):
    path = write_video(tmp_path / "video.mp4", numbered_frames(range(count), width=96, height=96))
    stored = transcode(path, Encoding(codec))
    chosen = sampling.eval_indices(stored.num_frames, 12)
    if codec == "jpeg":
        of_record = decode.decode_jpegs(stored.parts["frames"], chosen, 48)
    else:
        of_record = decode.decode_frames(stored.parts["video"], chosen, 48)
    (clip,) = read_clips(open_file(path), _how(codec, None if codec == "original" else 64), WHOLE)
    assert read_numbers(clip.parts["clip"]) == read_numbers(of_record) == clip.indices.tolist()
    assert clip.parts["clip"].shape == (12, 48, 48, 3) and (clip.start, clip.end) == (0, pytest.approx(count / 30))
    difference = np.abs(clip.parts["clip"].astype(int) - of_record)
    assert difference.mean() < (0.001 if codec == "original" else 1.5)


def test_the_same_flow_as_of_a_record(records):
    """Up to what coding the record loses."""
    from lift_flax.data.batches import read_eval_examples
    from lift_flax.data.records import open_records
    from tests.support.small_config import small_config

    opened, config = open_records(str(records)), small_config("tiny,luminous=flow", records=records)
    ids = [i for i in opened.split(1, "test") if "_7" not in i]
    how = _how(flow="dis", num_frames=4, size=32)
    for example in read_eval_examples(opened, config, ids):
        (clip,) = read_clips(open_file(records.parent / "videos" / f"{example['id']}.mp4"), how, WHOLE)
        for name, bound in (("clip", 2), ("flow", 2)):
            difference = np.abs(clip.parts[name].astype(int) - example[name])
            assert clip.parts[name].shape == example[name].shape and difference.mean() < bound, name
    assert ids


@pytest.mark.parametrize(("length", "hop"), [(4.0, 2.0), (3.0, 3.0), (5.5, 0.7)])
def test_windows_cover_a_long_video(long_video, length, hop):
    found = list(read_clips(open_file(long_video), _how(num_frames=8), Windows(10.0, length, hop)))
    assert [clip.start for clip in found[:-1]] == pytest.approx([i * hop for i in range(len(found) - 1)])
    assert found[-1].end == pytest.approx(20) and found[-1].start - found[-2].start <= hop + 1e-9
    for clip in found:
        assert clip.end - clip.start == pytest.approx(length)
        numbers = read_numbers(clip.parts["clip"])
        assert numbers == clip.indices.tolist() and len(set(numbers)) == 8
        assert 10 * clip.start - 0.51 <= numbers[0] and numbers[-1] <= 10 * clip.end


def test_a_video_as_long_as_allowed_is_one_clip(long_video):
    assert len(list(read_clips(open_file(long_video), _how(), Windows(20.0, 4.0, 2.0)))) == 1
    assert len(list(read_clips(open_file(long_video), _how(), Windows(19.9, 4.0, 2.0)))) == 9


def test_rounding_makes_no_window(tmp_path):
    """44 s in windows of 2 s every 0.7 s are 61, the last from 42 s on."""
    path = write_video(tmp_path / "video.mp4", numbered_frames([0] * 44, width=16, height=16), fps=1)
    found = list(read_clips(open_file(path), _how(num_frames=2, size=16), Windows(10.0, 2.0, 0.7)))
    assert len(found) == 61 and found[-1].start == pytest.approx(42) and found[-2].start == pytest.approx(41.3)


@pytest.mark.parametrize(
    "wrong", [{"longest": float("nan")}, {"longest": 0.0}, {"length": -1.0}, {"hop": 0.0}, {"length": 2.0, "hop": 3.0}]
)
def test_windows_that_cannot_be(wrong):
    with pytest.raises(UserError, match="must be above 0"):
        Windows(**wrong)


def test_only_what_windows_share_is_kept(long_video, monkeypatch):
    """Frames are let go of as soon as no later window takes them."""
    live = []
    stack = np.stack
    monkeypatch.setattr(np, "stack", lambda rows, **how: live.append(len(rows)) or stack(rows, **how))
    generator = read_clips(open_file(long_video), _how(num_frames=20), Windows(10.0, 4.0, 2.0))
    kept = [len(generator.gi_frame.f_locals["kept"]) for _ in generator]
    assert max(kept) <= 20 + 10 and len(live) == 9
