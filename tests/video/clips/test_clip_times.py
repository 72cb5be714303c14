"""Clips of files by time: a constant rate gives the frames by number, a variable one those on screen."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lift_flax.video.clips import Preparation, Windows, open_file, read_clips
from tests.support.containers.timed_videos import CONTAINERS, MILLISECONDS, write_timed
from tests.support.video_files import numbered_frames, read_numbers

HOW = Preparation("h264", 256, 64, "none", 12, 48)
WINDOWS = Windows(4.0, 2.0, 0.7)


def _by_number(path: Path) -> list[list[int]]:
    """Native frames of the windows of a constant rate, by the rate that the container names."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fps, count = float(stream.average_rate), sum(1 for _ in container.decode(stream))
    starts = [min(i * WINDOWS.hop, count / fps - WINDOWS.length) for i in range(100)]
    starts = starts[: 1 + next(i for i, start in enumerate(starts) if start >= count / fps - WINDOWS.length - 1e-6)]
    found = []
    for start in starts:
        first, last = int(start * fps + 0.5), min(int((start + WINDOWS.length) * fps + 0.5), count)
        stored = list(range(first, last))
        if len(stored) > 64:
            stored = [stored[int((k + 0.5) * len(stored) / 64)] for k in range(64)]
        found.append([stored[int((k + 0.5) * len(stored) / 12)] for k in range(12)])
    return found


@pytest.mark.parametrize("container", CONTAINERS)
def test_windows_of_a_constant_rate_are_those_by_number(tmp_path, container):
    rates = (Fraction(25), Fraction(30000, 1001), Fraction(48), Fraction(15))
    for rate in rates if container in MILLISECONDS else rates[1:3]:
        count = round(7.3 * rate)
        path = write_timed(tmp_path, container, [k / rate for k in range(count)], rate)
        found = [clip.indices.tolist() for clip in read_clips(open_file(path), HOW, WINDOWS)]
        assert len(found) > 7 and found == _by_number(path), rate


@pytest.mark.parametrize("container", CONTAINERS)
def test_windows_of_a_variable_rate_show_what_is_on_screen(tmp_path, container):
    """30 frames a second for 5 s, then 5 a second for 7 s: 12 s, in windows of 2 s."""
    times = [Fraction(k, 30) for k in [*range(150), *range(150, 360, 6)]]
    path = write_timed(tmp_path, container, times, frames=numbered_frames(range(len(times)), 96, 96))
    clips = list(read_clips(open_file(path), HOW, WINDOWS))
    assert clips[-1].end == pytest.approx(12, abs=0.01) and len(clips) == 16
    seconds = np.array(times, float)
    for clip in clips:
        middles = clip.start + (np.arange(12) + 0.5) * 2 / 12
        shown = np.searchsorted(seconds, middles + 0.002, side="right") - 1
        assert np.abs(clip.indices - shown).max() <= 1  # where a frame changes, containers round to either side
        assert np.abs(seconds[clip.indices] - middles).max() < 0.25
        assert read_numbers(clip.parts["clip"]) == clip.indices.tolist()
