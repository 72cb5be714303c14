"""Windows of T frames in a row: by frames or seconds, anywhere in a clip, and in clips that are too short for one."""

from fractions import Fraction

import numpy as np
import pytest

from lift_flax.video.clips import Preparation, Windows, open_file, read_clips
from lift_flax.video.sampling import FrameWindow, Timing, view_grid
from tests.support.containers.timed_videos import write_timed
from tests.support.video_files import numbered_frames, read_numbers, write_video

WHOLE = Windows(longest=1000.0)
TEN = Timing.even(10, 5.0)  # ten frames, two seconds


@pytest.mark.parametrize(("stride", "share", "expected"), [
    (1, 0.0, [0, 1, 2, 3]), (1, 0.5, [3, 4, 5, 6]), (1, 1.0, [6, 7, 8, 9]),
    (3, 0.0, [0, 3, 6, 9]), (3, 1.0, [0, 3, 6, 9]), (2, 0.5, [2, 4, 6, 8]), (2, 1.0, [3, 5, 7, 9]),
])  # fmt: skip
def test_frames_of_a_stride(stride, share, expected):
    assert FrameWindow(stride).at(TEN, 4, share).tolist() == expected


@pytest.mark.parametrize(("short", "expected"), [("loop", [0, 4, 8, 2, 6]), ("hold", [0, 4, 8, 9, 9])])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_a_short_clip_begins_again_or_holds_its_last_frame(short, expected, share):
    assert FrameWindow(4, short=short).at(TEN, 5, share).tolist() == expected


def test_every_place_is_drawn_as_often():
    """All seven first frames of a window of four in ten, and none beyond."""
    window, rng = FrameWindow(), np.random.default_rng(0)
    first = [window.at(TEN, 4, share)[0] for share in rng.random(7000)]
    counts = np.bincount(first)
    assert len(counts) == 7 and counts.min() > 850 and counts.max() < 1150


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0, 1, 3, 4]), (1.0, [5, 6, 8, 9]), (0.5, [3, 4, 5, 6])])
def test_seconds_take_what_is_on_screen(share, expected):
    """One second of two, at five frames a second: four frames, 1.25 frames apart."""
    assert FrameWindow(seconds=1.0).at(TEN, 4, share).tolist() == expected


def test_seconds_of_frames_that_are_not_equally_long():
    """0.1 s each up to 1 s, then 0.5 s each: the last second shows two frames."""
    timing = Timing(np.array([*np.arange(10) / 10, 1.0, 1.5]), 2.0, 6.0)
    window = FrameWindow(seconds=1.0)
    assert window.at(timing, 4, 0.0).tolist() == [1, 3, 6, 8] and window.at(timing, 4, 1.0).tolist() == [10, 10, 11, 11]


@pytest.mark.parametrize("short", ["loop", "hold"])
def test_a_clip_shorter_than_the_seconds(short):
    found = FrameWindow(seconds=3.0, short=short).at(TEN, 6, 0.4).tolist()
    assert found == ([1, 3, 6, 8, 1, 3] if short == "loop" else [1, 3, 6, 8, 9, 9])


def _how(window, places=1, flow="none") -> Preparation:
    return Preparation("h264", 256, None, flow, 4, 48, window, places)


@pytest.mark.parametrize("flow", ["none", "dis"])
def test_windows_of_a_file(tmp_path, flow):
    """Three, spread over it, each with the seconds that it shows; overlapping ones share what is decoded."""
    path = write_video(tmp_path / "video.mp4", numbered_frames(range(30), width=96, height=96), fps=10)
    clips = list(read_clips(open_file(path), _how(FrameWindow(5), 3, flow), WHOLE))
    assert [clip.indices.tolist() for clip in clips] == [[2, 7, 12, 17], [7, 12, 17, 22], [12, 17, 22, 27]]
    assert [(round(clip.start, 3), round(clip.end, 3)) for clip in clips] == [(0.2, 1.8), (0.7, 2.3), (1.2, 2.8)]
    for clip in clips:
        assert read_numbers(clip.parts["clip"]) == clip.indices.tolist() and len(clip.parts) == (
            2 if flow != "none" else 1
        )


def test_a_short_file_in_a_loop(tmp_path):
    path = write_video(tmp_path / "video.mp4", numbered_frames(range(3), width=96, height=96), fps=10)
    (clip,) = read_clips(open_file(path), _how(FrameWindow()), WHOLE)
    assert clip.indices.tolist() == [0, 1, 2, 0] and read_numbers(clip.parts["clip"]) == [0, 1, 2, 0]
    assert (clip.start, clip.end) == (0, pytest.approx(0.3))


def test_a_long_file_has_one_in_each_of_its_parts(tmp_path):
    """Of four seconds, every two: in the middle of each, of frames that a record of at most 64 would lack."""
    path = write_timed(
        tmp_path, "mp4", [Fraction(k, 30) for k in range(300)], Fraction(30), frames=numbered_frames(range(300), 96, 96)
    )
    clips = list(read_clips(open_file(path), _how(FrameWindow(), 5), Windows(5.0, 4.0, 2.0)))
    assert [clip.indices.tolist() for clip in clips] == [[k + 58, k + 59, k + 60, k + 61] for k in (0, 60, 120, 180)]
    assert [read_numbers(clip.parts["clip"]) for clip in clips] == [clip.indices.tolist() for clip in clips]


@pytest.mark.parametrize("window", [FrameWindow(12), FrameWindow(seconds=1.2)])
def test_a_part_that_is_shorter_than_a_window_lends_frames_of_its_neighbours(tmp_path, window):
    """Parts of one second, ten frames; windows of 37 or 12 lie around their middles, as far as they can."""
    path = write_video(tmp_path / "video.mp4", numbered_frames(range(100), width=96, height=96), fps=10)
    clips = list(read_clips(open_file(path), _how(window), Windows(5.0, 1.0, 1.0)))
    assert len(clips) == 10
    for number, clip in enumerate(clips):
        assert (np.diff(clip.indices) == (12 if window.stride > 1 else 3)).all()  # none begins again
        assert read_numbers(clip.parts["clip"]) == clip.indices.tolist()
        if 2 <= number <= 7:
            assert abs(clip.indices.mean() - (10 * number + 4.5)) <= 1
    assert clips[0].indices[0] <= 1 and clips[-1].indices[-1] >= 98


def test_the_last_frames_are_held_that_stand_for_a_moment():
    """Five frames in the last tenth of a second: a window of the whole second ends with the last."""
    timing = Timing(np.array([0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.92, 0.94, 0.96, 0.98]), 1.0, 10.0)
    assert FrameWindow(seconds=1.0, short="hold").at(timing, 100, 0.5)[-1] == 9
    assert FrameWindow(seconds=2.0, short="hold").at(timing, 20, 0.5)[-10:].tolist() == [9] * 10


def test_views_are_windows():
    assert [FrameWindow().at(TEN, 4, view.phase)[0] for view in view_grid(3, 1)] == [1, 3, 5]
