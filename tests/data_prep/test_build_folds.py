"""Folds of whole groups, validation clips and names of classes: from real small videos to the records of a run."""

import json
from pathlib import Path

import pytest

from data_prep import build
from lift_flax.data import records
from tests.support.build_tools import read_records
from tests.support.video_files import write_numbered

ACTIONS, PEOPLE = ("bend", "walk", "wave"), ("daria", "eli", "ido", "moshe")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A video of each action by each person, in folders of the actions, of different lengths."""
    for number, (action, person) in enumerate((action, person) for action in ACTIONS for person in PEOPLE):
        write_numbered(tmp_path / "videos" / action / f"{person}_{action}.avi", 4 + number)
    return tmp_path / "videos"


@pytest.mark.usefixtures("in_process")
def test_leave_one_person_out_in_one_build(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Every clip is encoded once; each fold tests on one person, who is in no training clip of it."""
    out = tmp_path / "records"
    flags = ["folder", "--videos", str(videos), "--out", str(out), "--group-regex", "([a-z]+)_[a-z]+[.]avi"]
    build.main([*flags, "--folds=groups"])
    assert len(read_records(out)) == len(ACTIONS) * len(PEOPLE)
    opened = records.open_records(str(out))
    assert list(opened.folds) == ["1", "2", "3", "4"]
    for fold, person in enumerate(PEOPLE, 1):
        train, test = opened.split(fold, "train"), opened.split(fold, "test")
        assert {opened.index[id].group for id in test} == {person} and len(test) == len(ACTIONS)
        assert {opened.index[id].group for id in train} == set(PEOPLE) - {person}
        assert {opened.index[id].label for id in train} == {0, 1, 2}
    assert json.loads((out / "folds.json").read_text())["tests_on"] == dict(zip("1234", PEOPLE, strict=True))
    shown = capsys.readouterr().out
    assert f"--config.data.dir={out} --folds=all --workdir=" in shown
    assert "│ 3    │ ido      │ 9     │ 3    │" in shown and "│ walk  │ 4     │" in shown
    build.main([*flags, "--folds=groups"])
    assert "already built with these settings" in capsys.readouterr().out
    with pytest.raises(build.UserError, match=r"was built with folds groups \(now 2\)"):
        build.main([*flags, "--folds=2"])


@pytest.mark.usefixtures("in_process")
def test_a_given_validation_split_reaches_training(tmp_path: Path) -> None:
    for number, side in enumerate(("Training", "valid", "Test")):
        for action in ACTIONS[:2]:
            write_numbered(tmp_path / "videos" / side / action / "1.mp4", 4 + number)
    build.main(["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "records")])
    opened = records.open_records(str(tmp_path / "records"))
    given = (["Training/bend/1", "Training/walk/1"], ["valid/bend/1", "valid/walk/1"])
    assert opened.train_and_validation(1, 0.0, 0) == given
    assert opened.split(1, "test") == ["Test/bend/1", "Test/walk/1"]
