"""A phase ends early where validation becomes no better, also after a stop, and a small set gets more epochs."""

import dataclasses
import json
import shutil

import pytest

from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.runs import config_file
from lift_flax.runs.checkpoints import best_step
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.train.run import resolve, train_and_test
from tests.support.run_tools import assert_same_state, newest_state
from tests.support.small_config import small_config


@pytest.fixture(scope="module")
def config(validated):
    return config_file.load(validated / "config.json")


def _validation(workdir):
    return [line for line in read_metrics(workdir) if line["split"] == "validation"]


def test_it_ends_two_epochs_after_the_best(validated):
    lines, student = _validation(validated), json.loads((validated / "results.json").read_text())["training"]["student"]
    losses = [line["loss"] for line in lines]
    best = losses.index(min(losses))
    assert len(losses) < 30 and len(losses) == best + 3
    assert best_step(validated / "student") == lines[best]["step"] == student["step"]
    assert (student["epochs"], student["steps"]) == (lines[-1]["epoch"], lines[-1]["step"]) and student[
        "fitted"
    ] is not None


@pytest.mark.slow
def test_a_stop_within_changes_nothing(validated, config, tmp_path):
    """Cut before its last epoch, and at its end: the same end, and nothing is trained after it."""
    cut, last = tmp_path / "run", json.loads((validated / "results.json").read_text())["training"]["student"]["steps"]
    shutil.copytree(validated, cut)
    (cut / "results.json").unlink()
    assert train_and_test(config, cut)["training"]["student"]["steps"] == last
    shutil.rmtree(cut / "student" / str(last))
    (cut / "results.json").unlink()
    assert train_and_test(config, cut)["training"]["student"]["steps"] == last
    assert _validation(cut) == _validation(validated)
    assert_same_state(newest_state(cut, "student", config), newest_state(validated, "student", config))


@pytest.mark.slow
def test_epochs_that_are_not_saved_are_not_validated(config, validated, tmp_path):
    """The others are as they were, and the best of them answers."""
    rare = dataclasses.replace(config, train=dataclasses.replace(config.train, checkpoint_epochs=3))
    train_and_test(rare, tmp_path / "run")
    lines, every = _validation(tmp_path / "run"), {line["epoch"]: line["loss"] for line in _validation(validated)}
    assert [line["epoch"] for line in lines] == [3.0 * (k + 1) for k in range(len(lines))]
    assert all(line["loss"] == every[line["epoch"]] for line in lines if line["epoch"] in every)
    best = min(lines, key=lambda line: line["loss"])
    assert best_step(tmp_path / "run" / "student") == best["step"] and best in lines[-3:]


def test_least_steps_are_epochs_of_the_run(records):
    opened = open_records(str(records))
    config = small_config(records=records, **{"train.teacher_least_steps": 40, "train.student_least_steps": 5})
    start = resolve(config, opened)
    assert (start.config.train.teacher_epochs, start.config.train.student_epochs) == (9, 2)
    steps = "40 steps (config.train.teacher_least_steps)"
    assert start.notes == (f"teacher: 9 epochs instead of 2, as 18 clips need for {steps}",)
    both = small_config(records=records, **{"train.teacher_least_steps": 40, "train.student_least_steps": 30})
    long = resolve(both, opened)
    assert long.config.train.checkpoint_epochs == 3 and "validated and saved every 3 epochs" in long.notes
    assert resolve(long.config, opened).config == long.config
    assert resolve(start.config, opened).config == start.config


@pytest.mark.parametrize("fields", [{"train.patience": 3}, {"train.best_by": "loss"}])
def test_without_validation_clips_they_are_refused(records, fields):
    with pytest.raises(UserError, match=r"go by validation clips, and there are none: set config\.data\.val_share"):
        resolve(small_config(records=records, **fields), open_records(str(records)))
