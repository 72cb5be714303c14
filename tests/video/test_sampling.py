"""Frames are chosen by time; at a constant rate that is the index arithmetic of frames that are equally long."""

import itertools

import numpy as np
import pytest

from lift_flax.video.sampling import Timing

RATES = (25.0, 30000 / 1001, 24000 / 1001, 30.0, 7.0, 59.94)


def _arithmetic(count: int, num_frames: int, phase: float = 0.5) -> list[int]:
    """Frames of a constant rate, by number."""
    return [min(int((k + phase) * num_frames / count), num_frames - 1) for k in range(count)]


def _stored(timing: Timing) -> Timing:
    """As it comes back from a record."""
    seconds = float(np.float32(timing.seconds))
    times = timing.times.astype(np.float32).astype(np.float64)
    return Timing(times, seconds, len(times) / seconds)


def _dropped(seed: int, seconds: int = 12) -> Timing:
    """30 frames a second, of which many were lost."""
    rng = np.random.default_rng(seed)
    numbers = np.unique([0, *rng.integers(0, 30 * seconds, 100), *range(60, 90)])
    return Timing(numbers / 30, float(seconds), len(numbers) / seconds)


@pytest.mark.parametrize("fps", RATES)
def test_a_constant_rate_gives_frames_by_number(fps):
    phases = (0.5, 1 / 6, 5 / 6, 0.05)
    for num_frames, count, phase in itertools.product((2, 5, 48, 200, 1001, 54_000), (4, 12, 30), phases):
        video = Timing.even(num_frames, fps)
        assert video.middle(count, phase).tolist() == _arithmetic(count, num_frames, phase)
        kept, of_record = video.kept(64)
        expected = _arithmetic(64, num_frames) if num_frames > 64 else list(range(num_frames))
        assert kept.tolist() == expected
        for timing in (of_record, _stored(of_record), _stored(Timing.even(num_frames, fps))):
            stored = len(timing.times)
            assert timing.middle(count, phase).tolist() == _arithmetic(count, stored, phase)
            edges = np.linspace(0, stored, count + 1)
            drawn = np.random.default_rng(7).uniform(edges[:-1], edges[1:]).astype(int)
            assert timing.drawn(count, np.random.default_rng(7)).tolist() == np.minimum(drawn, stored - 1).tolist()


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("hop", [2.0, 0.7, 1 / 3])
def test_parts_of_a_constant_rate_begin_with_the_nearest_frame(fps, hop):
    video = Timing.even(1000, fps)
    for start in np.arange(0, video.seconds - 4, hop):
        first, part = video.part(start, start + 4.0)
        assert first == int(start * fps + 0.5) and first + len(part.times) == int((start + 4.0) * fps + 0.5)
        assert part.middle(12).tolist() == _arithmetic(12, len(part.times))


@pytest.mark.parametrize("seed", range(3))
def test_a_variable_rate_gives_the_frame_on_screen(seed):
    video = _dropped(seed)
    for timing in (video, _stored(video)):
        for phase in (0.5, 0.1):
            at = (np.arange(30) + phase) * 12 / 30
            expected = [int(np.flatnonzero(video.times <= time)[-1]) for time in at]
            assert timing.middle(30, phase).tolist() == expected
        drawn = np.array([timing.drawn(12, np.random.default_rng(i)) for i in range(100)])
        ends = np.append(video.times[1:], 12)[drawn]
        assert (np.diff(drawn, axis=1) >= 0).all()
        assert (video.times[drawn] < np.arange(1, 13)).all() and (ends > np.arange(12)).all()
        assert all(len(np.unique(column)) > 1 for column in drawn.T[2:3])  # many frames are within the third second


@pytest.mark.parametrize("seed", range(3))
def test_parts_of_a_variable_rate_are_what_is_on_screen(seed):
    video = _dropped(seed)
    ends = np.append(video.times[1:], 12)
    for start in np.arange(0, 10.1, 0.37):
        first, part = video.part(start, start + 2)
        last = first + len(part.times) - 1
        assert part.seconds == pytest.approx(2) and part.times[0] == 0
        assert video.times[first] <= start < ends[first] and video.times[last] < start + 2 <= ends[last]
        np.testing.assert_allclose(part.times[1:], video.times[first + 1 : last + 1] - start)


def test_a_record_holds_a_frame_that_stays_once():
    """Ten seconds of 25 frames a second, then one frame for fifty."""
    times = np.arange(250) / 25
    kept, of_record = Timing(times, 60.0, 250 / 60).kept(64)
    assert len(kept) == len(set(kept.tolist())) == 12 and kept[-1] == 249
    assert np.all(np.abs(of_record.times - times[kept]) <= 60 / 64) and of_record.seconds == 60
    assert of_record.middle(30).tolist().count(11) == 25  # of the two seconds of each span, those of the still
    whole = Timing(times, 60.0, 250 / 60)
    assert kept[of_record.middle(30)].tolist() == pytest.approx(whole.middle(30).tolist(), abs=13)


@pytest.mark.parametrize("still", [0, 40, 99])
def test_a_record_holds_two_frames_at_least(still):
    """One of a hundred frames is on screen for a minute, the others for a millisecond each."""
    lengths = np.full(100, 0.001)
    lengths[still] = 60
    times = np.cumsum([0, *lengths[:-1]])
    kept, of_record = Timing(times, float(lengths.sum()), 100 / lengths.sum()).kept(64)
    assert len(kept) == 2 and set(kept[of_record.middle(12)].tolist()) == {still}
    assert (np.diff(kept) > 0).all()


def test_frames_without_duration_are_never_on_screen():
    video = Timing(np.array([0, 0, 0.5, 0.5, 1]), 2.0, 2.5)
    assert video.middle(4).tolist() == [1, 3, 4, 4] and video.part(0.5, 1.5)[0] == 3
