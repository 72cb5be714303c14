"""A flash is reported at its second, however unevenly the frames around it come."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data_prep import build
from lift_flax.predict import __main__ as predict
from lift_flax.predict.reading import ReadClip, VideoEnd, read_videos
from lift_flax.train.run import train_and_test
from lift_flax.video.clips import Preparation, Windows
from tests.support.containers.timed_videos import CONTAINERS, write_timed
from tests.support.small_config import small_config
from tests.support.video_files import write_video

DARK, LIGHT = 40, 235
HOW = Preparation("h264", 256, 64, "none", 12, 32)


def _flash(folder: Path, container: str) -> Path:
    """60 s: 30 frames a second for 20 s, then 5 a second, and light from 30 to 32 s."""
    numbers = [*range(600), *range(600, 1800, 6)]
    levels = np.array([LIGHT if 900 <= number < 960 else DARK for number in numbers], np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 48, 64, 3))
    return write_timed(folder, container, [Fraction(number, 30) for number in numbers], frames=frames, name="flash")


@pytest.mark.parametrize(
    "container", ["mp4", "avi", *(pytest.param(c, marks=pytest.mark.slow) for c in ("mkv", "webm", "flv", "ts"))]
)
def test_windows_see_a_flash_at_its_second(tmp_path, container):
    *parts, end = read_videos([_flash(tmp_path, container)], HOW, Windows(30.0, 2.0, 1.0))
    clips = [part.clip for part in parts if isinstance(part, ReadClip)]
    assert isinstance(end, VideoEnd) and not end.error
    assert [clip.start for clip in clips] == pytest.approx([*range(59)], abs=0.01) and len(clips) == len(parts)
    assert clips[-1].end == pytest.approx(60, abs=0.01)
    for clip in clips:
        light = clip.parts["clip"].mean(axis=(1, 2, 3)) > (DARK + LIGHT) / 2  # [T]
        shared = max(0.0, min(clip.end, 32) - max(clip.start, 30)) / 2
        assert light.mean() == pytest.approx(shared, abs=0.001), clip.start


@pytest.fixture(scope="module")
def dark_or_light(tmp_path_factory) -> Path:
    """A run that tells dark clips from light ones."""
    root = tmp_path_factory.mktemp("lamp")
    for label, (name, level) in enumerate((("dark", DARK), ("light", LIGHT))):
        for index in range(6):
            rng = np.random.default_rng([label, index])
            frames = level + rng.integers(-20, 20) + rng.normal(0, 2, (8, 48, 64, 3))
            split = "train" if index < 4 else "test"
            write_video(root / "videos" / split / name / f"{index}.mp4", frames.clip(0, 255).astype(np.uint8))
    build.main(["folder", "--videos", str(root / "videos"), "--out", str(root / "records"), "--workers", "1"])
    config = small_config("tiny,distill=no,streams=main", root / "records", **{"train.student_epochs": 10})
    train_and_test(config, root / "run")
    return root / "run"


@pytest.mark.slow
def test_a_network_reports_a_flash_at_its_second(dark_or_light, tmp_path, capsys):
    paths = [str(_flash(tmp_path, container)) for container in CONTAINERS]
    predict.main([f"--workdir={dark_or_light}", "--json", "--window=2", "--hop=1", *paths])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(CONTAINERS) == 6
    for answer in answers:
        before, flash, after = answer["events"]
        assert [part["label"] for part in (before, flash, after)] == ["dark", "light", "dark"]
        assert before["start"] == 0 and after["end"] == pytest.approx(60, abs=0.01)
        assert abs(flash["start"] - 30) <= 1 and abs(flash["end"] - 32) <= 1, answer["video"]
