"""Every frame has a time in seconds, whatever its container counts in and whatever is odd about its clock."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lift_flax.video.frame_times import frame_times
from lift_flax.video.inspection import inspect_video
from tests.support.containers.timed_videos import CONTAINERS, MILLISECONDS, write_timed

RATES = (Fraction(25), Fraction(30000, 1001), Fraction(12), Fraction(24000, 1001), Fraction(60))
TICK = Fraction(1, 1000)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_constant_rate_counts_exactly(tmp_path: Path, container: str) -> None:
    for rate in RATES if container in (*MILLISECONDS, "mp4") else RATES[1:3]:
        info = inspect_video(write_timed(tmp_path, container, [k / rate for k in range(60)], rate))
        assert info.num_frames == 60 and info.fps == pytest.approx(float(rate), rel=1e-4)
        assert info.times.tolist() == (np.arange(60) / info.fps).tolist() and info.seconds == 60 / info.fps, rate


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_variable_rate_keeps_its_seconds(tmp_path: Path, container: str) -> None:
    """12 s at 30 frames a second, of which the recorder lost most after the fourth second."""
    rate = Fraction(30)
    shown = [k for k in range(360) if k < 120 or k % 7 == 0 or 200 < k < 230]
    info = inspect_video(write_timed(tmp_path, container, [k / rate for k in shown], rate))
    assert info.seconds == pytest.approx(12, abs=0.25) and info.fps == pytest.approx(len(shown) / info.seconds)
    np.testing.assert_allclose(info.times, np.array(shown) / 30, rtol=0, atol=0.002)


def test_a_file_that_begins_late_begins_at_zero(tmp_path: Path) -> None:
    info = inspect_video(write_timed(tmp_path, "mp4", [Fraction(8 + k, 25) for k in range(50)], Fraction(25)))
    assert info.times[0] == 0 and info.seconds == 2


def _times(milliseconds: list, durations: list | None = None, fps: float = 25.0) -> tuple[list[float], float]:
    times, seconds, rate = frame_times(milliseconds, durations or [0] * len(milliseconds), TICK, fps)
    assert len(times) == len(milliseconds) and np.all(np.diff(times) >= 0) and rate == len(times) / seconds
    return np.round(times, 6).tolist(), round(seconds, 6)


@pytest.mark.parametrize(
    ("milliseconds", "seconds", "why"),
    [
        ([None] * 4, [0, 0.04, 0.08, 0.12, 0.16], "without times"),
        ([7, 7, 7, 7], [0, 0.04, 0.08, 0.12, 0.16], "one time for all"),
        ([None, 40, None, 120], [0, 0.04, 0.08, 0.12, 0.16], "some lack a time"),
        ([0, 40, 40, 120, 160], [0, 0.04, 0.04, 0.12, 0.16, 0.2], "repeated"),
        ([0, 80, 40, 120, 200], [0, 0.04, 0.08, 0.12, 0.2, 0.24], "in the wrong order"),
        ([*range(0, 2000, 40), *range(0, 2000, 40)], [*np.arange(101) * 0.04], "joined"),
        ([*range(0, 2000, 40), *range(10**9, 10**9 + 2000, 40)], [*np.arange(101) * 0.04], "a clock that was set"),
        ([0, 40, 80, 60_080, 60_120], [0, 0.04, 0.08, 60.08, 60.12, 60.16], "a pause"),
    ],
)
def test_odd_clocks(milliseconds, seconds, why):
    times, end = _times(milliseconds)
    assert [*times, end] == pytest.approx(seconds), why


def test_the_last_frame_stays_as_long_as_its_file_says():
    steps = [0, 40, 80, 120, 160]
    assert _times(steps, [40, 40, 40, 40, 3000])[1] == 3.16  # a still at the end
    assert _times(steps, [40, 40, 40, 40, 1])[1] == 0.2  # no frame is that short where all others are equal
    assert _times([0, 33, 66, 266, 466, 666], [33] * 6)[1] == 0.866  # durations that are not those of the steps


def test_a_rate_that_the_file_names_wrongly_is_measured():
    times, end = _times(list(range(0, 4000, 40)), fps=1000.0)
    assert end == 4 and times[-1] == 3.96


def test_no_clock_is_too_broken():
    """Whatever a damaged file says, its frames follow each other in a finite time."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        ticks = np.cumsum(
            rng.choice(
                [0, 1, 33, 40, -40, -5000, 10**6, 10**12, -(10**12)],
                rng.integers(2, 40),
                p=rng.dirichlet(np.full(9, 0.3)),
            )
        )
        stamps = [None if rng.random() < seed % 3 * 0.2 else int(tick) for tick in ticks]
        durations = rng.choice([0, 40, 10**9], len(stamps), p=[0.4, 0.55, 0.05]).tolist()
        times, seconds, fps = frame_times(stamps, durations, Fraction(1, int(rng.choice([1, 25, 1000, 10**9]))), 25.0)
        assert (
            len(times) == len(stamps) and times[0] == 0 and np.all(np.isfinite(times)) and np.all(np.diff(times) >= 0)
        )
        assert times[-1] <= seconds < 10**9 and 0 < fps <= 1001 and fps == pytest.approx(len(times) / seconds)
