"""What a finished run prints."""

import dataclasses
import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from lift_flax.command_line import command
from lift_flax.data.records import open_records
from lift_flax.train.screen import summary
from tests.support.small_config import small_config


def _judged(top1: float) -> dict:
    return {"top1": top1, "top5": None, "per_class": {"down": top1, "right": None}}


def _results(teacher: float | None, student: float) -> dict:
    """Of a run whose last epochs had these accuracies; chance is 0.5."""
    training = {
        phase: None if top1 is None else {"top1": top1, "chance": 0.5, "fitted": top1 >= 0.75, "epochs": epochs}
        for phase, top1, epochs in (("teacher", teacher, 2), ("student", student, 7))
    }
    facts = {"dataset": "small", "fold": 1, "num_examples": 6, "views": "1x1", "classes": ["down", "right"]}
    return {**facts, "teacher": _judged(0.5), "student": _judged(0.25), "training": training}


def _shown(results: dict) -> list[str]:
    out = io.StringIO()
    summary.show_accuracy(results, Console(file=out, width=80))
    return [" ".join(line.replace("│", " ").split()) for line in out.getvalue().splitlines()]


def test_training_accuracy_stands_beside_the_test():
    lines = _shown(_results(0.4, 1.0))
    assert "top-1 50.0 % 25.0 %" in lines and "top-1 in training 40.0 % 100.0 %" in lines
    assert "right - -" in lines and "top-5 - -" in lines
    assert "top-1 in training - 100.0 %" in _shown(_results(None, 1.0))  # the teacher of another run


def test_results_of_an_earlier_version_are_shown_too():
    results = _results(0.4, 1.0)
    del results["training"]
    assert "top-1 50.0 % 25.0 %" in (lines := _shown(results)) and not [n for n in lines if "training" in n]
    assert summary.unfitted(results, small_config()) == []


def test_a_run_that_has_not_fitted_says_which_field_to_raise():
    config = small_config(**{"train.student_epochs": 7, "train.learning_rate": 0.002})
    (line,) = summary.unfitted(_results(0.75, 0.74), config)
    assert line.startswith("the student has not fitted its training clips: 74.0 % of them are right in its last epoch")
    assert "50.0 % by chance" in line and "--config.train.student_epochs (now 7)" in line
    assert "--config.train.learning_rate (now 0.002)" in line
    (line,) = summary.unfitted(_results(0.5, 0.9), config)
    assert "the teacher" in line and "--config.train.teacher_epochs (now 2)" in line
    assert summary.unfitted(_results(None, 0.9), config) == []


def test_commands_for_videos_and_for_none():
    workdir = Path("runs/mine")
    predict, explain = summary.next_commands(workdir, [Path("a.mp4"), Path("b.mp4")])
    assert predict == command("predict", "--workdir=runs/mine", "a.mp4", "b.mp4")
    assert explain == command("explain", "--workdir=runs/mine", "a.mp4", "--out=runs/mine/explained")
    predict, _ = summary.next_commands(Path("my runs/one"), [Path("it's.mp4")])
    assert shlex.split(predict)[-3:] == ["predict", "--workdir=my runs/one", "it's.mp4"]
    assert all(" VIDEO" in command for command in summary.next_commands(workdir, []))


@pytest.mark.parametrize("kept", [True, False])
def test_test_videos_lie_in_the_workdir_where_the_records_keep_them(records, tmp_path, monkeypatch, kept):
    """Two of different classes, as they were rendered; nothing is copied twice."""
    opened = dataclasses.replace(open_records(str(records)), dir=tmp_path / "records")
    clips, workdir = opened.dir / "videos" / "clips" / "any", tmp_path / "workdir"
    clips.mkdir(parents=True)
    workdir.mkdir()
    names = {f"any/{i.replace('/', '_')}": i for i in opened.split(1, "test")}  # as those of rendered figures are
    index = {name: opened.index[i] for name, i in names.items()}
    folds = {"1": {"train": [], "test": list(names)}}
    monkeypatch.setattr(summary, "open_records", lambda _: dataclasses.replace(opened, index=index, folds=folds))
    for name in names if kept else ():
        (clips.parent / f"{name}.mp4").write_text(name.removeprefix("any/"))
    found = summary.sample_videos(small_config(), workdir)
    if not kept:
        assert found == [] and not (workdir / "videos").exists()
        return
    assert [path.name for path in found] == ["test_down_g3_6.mp4", "test_right_g3_6.mp4"]
    assert [path.read_text() for path in found] == ["test_down_g3_6", "test_right_g3_6"]
    found[0].write_text("mine")
    assert summary.sample_videos(small_config(), workdir) == found and found[0].read_text() == "mine"
