"""What a person sees while a phase trains."""

import io
import itertools
import types

import pytest
from rich.console import Console

from lift_flax.train.screen.progress import Progress

MEANS = {"loss": 12.3456, "top1": 0.4567}


def _shown(width: int, steps: int = 5, means: dict = MEANS) -> str:
    """The last line of the bar on a terminal of `width` columns."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    progress = Progress("student", 0, 12345, 8, True, console)
    with progress:
        for _ in range(steps):
            progress.advance(means)
        out.truncate(out.seek(0))
        progress._bar.refresh()
        return out.getvalue().splitlines()[-1]


@pytest.mark.parametrize("width", [20, 24, 30, 40, 60, 80, 120])
def test_time_left_is_never_cut_off(width):
    line = _shown(width)
    assert ":" in line and "…" not in line
    clock = next(word for word in line.split() if ":" in word)
    hours, minutes, seconds = clock.rsplit("m", 1)[-1].split(":")  # behind the terminal's own codes
    assert minutes.isdigit() and len(minutes) == len(seconds) == 2 and seconds.isdigit() and hours


def test_eighty_columns_hold_the_means_of_the_epoch_and_the_speed(monkeypatch):
    clock = types.SimpleNamespace(monotonic=itertools.count(0, 0.01).__next__)  # a step each hundredth of a second
    monkeypatch.setattr("lift_flax.train.screen.progress.time", clock)
    line = _shown(80)
    assert "student" in line and "left 5/12345" in line and "800.0 clips/s" in line
    assert "loss 12.346 accuracy 45.7 %" in line


def test_what_matters_least_goes_first():
    assert "loss" not in _shown(60) and "5/12345" in _shown(60)
    assert "5/12345" not in _shown(30) and "student" in _shown(30)


def test_no_time_is_made_up_before_the_first_step():
    assert "-:--:-- left" in _shown(80, steps=0)


def test_epochs_are_lines_of_means(capsys):
    progress = Progress("teacher", 0, 10, 8, bar=False)
    with progress:
        progress.advance(MEANS)
        progress.epoch(1, 3, MEANS, None)
        progress.epoch(2, 3, MEANS, {"loss": 1.0, "top1": 0.5})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("teacher epoch 1/3   loss 12.346 accuracy 45.7 %   ") and first.endswith(" s")
    assert "   validation loss 1.000 accuracy 50.0 %   " in second
