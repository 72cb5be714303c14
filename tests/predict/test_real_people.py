"""benchmarks/real_people.py: which real clips it takes for which class, and whose answers count."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import real_people
from lift_flax.errors import UserError


class Sure:
    """A predictor that is surest of a class that is not asked for, then of the class that a file's folder spells."""

    def __init__(self):
        self.trained = SimpleNamespace(classes=("Drink", "Jump", "Run", "Walk"), workdir="RUN")

    def each(self, videos):
        for video in videos:
            likes = {"walk": [0.6, 0.1, 0.1, 0.2], "run": [0.6, 0.0, 0.3, 0.1]}[video.split("/")[-2]]
            yield SimpleNamespace(probabilities=np.array(likes), error="", video=video)


def sure() -> Any:
    return Sure()


def folder_of_clips(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    return tmp_path


def test_only_the_classes_in_question_are_answers(tmp_path, capsys):
    folder = folder_of_clips(tmp_path, "walk/a_walk.avi", "run/a_run.avi", "run/b_run.avi", "skip/a_skip.avi")
    clips = real_people.weizmann(folder, [])
    assert [clip.class_name for clip in clips] == ["Walk", "Run", "Run"]
    found = real_people.answers(sure(), clips)
    assert found == ["Walk", "Run", "Run"]
    real_people.show("Weizmann", clips, ["Walk", "Run", "Walk"])
    out = capsys.readouterr().out
    assert "2 of 3, 66.7 %" in out and "run      Run 1, Walk 1" in out


def test_missing_clips_people_and_classes_are_one_line(tmp_path):
    folder = folder_of_clips(tmp_path, "walk/a_walk.avi", "bend/a_bend.avi")
    with pytest.raises(UserError, match="no clips of zoe"):
        real_people.weizmann(folder, ["a", "zoe"])
    with pytest.raises(UserError, match="no clips such as"):
        real_people.weizmann(tmp_path / "walk", [])
    with pytest.raises(UserError, match="does not know Pick"):
        real_people.answers(sure(), real_people.weizmann(folder, []))
    with pytest.raises(UserError, match="no lists"):
        real_people.arid(folder)


def test_the_lists_of_real_data_are_read(real_data):
    clips = real_people.weizmann(real_data / "weizmann", ["daria", "denis", "eli"])
    assert len(clips) == 18 and {clip.group for clip in clips} == {"daria", "denis", "eli"}
    dark = real_people.arid(real_data / "arid_subset")
    assert len(dark) == 200 and all(clip.path.exists() for clip in dark)
    assert {clip.class_name for clip in dark} == {"Jump", "Run", "Sit", "Stand", "Turn", "Walk"}
    assert len({clip.group for clip in dark if "validate" not in str(clip.path)}) == 15
