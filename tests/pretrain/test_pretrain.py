"""Whole pretrainings on small real videos: what they learn from, how they go on, and what starts from them."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lift_flax import cli
from lift_flax.config import Config
from lift_flax.data import clip_reader
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.pretrain.phase import check
from lift_flax.pretrain.run import pretrain
from lift_flax.pretrain.run import resolve as resolve_pretraining
from lift_flax.runs.checkpoints import read_best
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.train import phases
from lift_flax.train.run import resolve, train_and_test
from tests import ROOT
from tests.support.run_tools import exit_codes, running, said
from tests.support.small_config import LIGHT, small_config

FIELDS = {
    "model.luminous.input": "motion",
    "augment.exposure_darker": 1.0,  # in less light there is nothing of these clips to see
    "augment.exposure_lighter": 2.0,
    "pretrain.epochs": 2,
    "train.learning_rate": 1e-3,
}
# The R(2+1)D alone, where the network does not matter.
QUICK = {**FIELDS, "model.streams": "luminous"}


def _arrays(workdir: Path) -> dict[str, np.ndarray]:
    params, stats, _ = read_best(workdir / "pretrain")
    return {path: np.asarray(a) for path, a in flatten({"params": params, "batch_stats": stats}).items()}


def _assert_same(one: Path, two: Path) -> None:
    ours, theirs = _arrays(one), _arrays(two)
    assert ours.keys() == theirs.keys()
    for path in ours:
        np.testing.assert_array_equal(ours[path], theirs[path], err_msg=path)


@pytest.fixture(scope="module")
def config(records) -> Config:
    return small_config(records=records, **QUICK)


@pytest.fixture(scope="module")
def done(config, build_once) -> Path:
    """The workdir of a finished pretraining of the R(2+1)D; whoever changes it changes a copy."""
    return build_once("pretrained", lambda folder: pretrain(config, folder / "workdir")) / "workdir"


@pytest.fixture
def decoded(monkeypatch) -> dict[str, set[str]]:
    """Ids of the clips that are decoded meanwhile, to train on and for validation."""
    found: dict[str, set[str]] = {"train": set(), "eval": set()}

    def watched(name):
        function = getattr(clip_reader.ClipReader, name)

        def read(self, clip, *arguments):
            found[name].add(self.clips[max(clip, 0)][0])
            return function(self, clip, *arguments)

        return read

    for name in found:
        monkeypatch.setattr(clip_reader.ClipReader, name, watched(name))
    return found


def test_a_training_begins_with_what_it_has_learnt(done, records, capsys):
    """The R(2+1)D of one stream alone; all else is drawn anew."""
    config = small_config(records=records, **{**QUICK, "train.init_from": str(done)})
    start = resolve(config, open_records(str(records)))
    phases.check_start(start.config, 3)
    held = {path.replace("/trunk/", "/", 1): array for path, array in _arrays(done).items() if "/trunk/" in path}
    teacher = phases.teacher_phase(start.config, 3)
    assert teacher.pretrained.keys() == held.keys() and held
    for path, array in held.items():
        np.testing.assert_array_equal(teacher.pretrained[path], array, err_msg=path)
    assert "drawn anew: fc/bias, fc/kernel\n" in capsys.readouterr().out


@pytest.mark.slow
def test_both_streams_learn_and_are_a_start(records, decoded, tmp_path, capsys):
    """The loss of unseen clips falls, no test clip is read, and a run begins there, but for its heads and levels."""
    config = small_config(records=records, **{**FIELDS, "pretrain.epochs": 8, "data.val_share": 0.34})
    workdir, opened = tmp_path / "pre", open_records(str(records))
    found = pretrain(config, workdir)
    learnt, validated = opened.train_and_validation(1, 0.34, 0)
    assert decoded == {"train": set(learnt), "eval": set(validated)}
    assert found == json.loads((workdir / "pretrain.json").read_text())
    assert (found["clips"], found["steps"]) == (12, 24)
    lines = read_metrics(workdir)
    assert all(0 < line["std"] <= 1 for line in lines if line["split"] in ("epoch", "validation"))
    validation = [(line["loss"], line["step"]) for line in lines if line["split"] == "validation"]
    assert len(validation) == 8 and found["step"] == min(validation)[1]
    assert validation[-1][0] < validation[0][0] - 0.2
    assert "std 0." in capsys.readouterr().out

    held = _arrays(workdir)
    later = small_config(records=records, **{**FIELDS, "train.init_from": str(workdir), "data.val_share": 0.34})
    start = resolve(later, open_records(str(records)))
    phases.check_start(start.config, 3)
    teacher, student = phases.teacher_phase(start.config, 3), phases.student_phase(start.config, 3, None)
    trunk = {path for path in held if path.split("/")[1] == "trunk"}
    assert set(teacher.pretrained) == {path.replace("/trunk/", "/", 1) for path in trunk}
    assert {path for path in held if path.split("/")[1] == "main"} | trunk == set(student.pretrained)
    for path, array in student.pretrained.items():
        np.testing.assert_array_equal(array, held[path])
    shown = capsys.readouterr().out
    assert f"teacher: {len(trunk)} arrays from {workdir}; drawn anew: fc/bias, fc/kernel\n" in shown
    assert f"student: {len(student.pretrained)} arrays from {workdir}; drawn anew: " in shown


@pytest.mark.slow
def test_a_training_from_it_runs_to_its_end(done, records, tmp_path):
    config = small_config(records=records, **{**QUICK, "train.init_from": str(done)})
    results = train_and_test(config, tmp_path / "run")
    assert results["num_examples"] == 6


@pytest.mark.slow
def test_a_pretraining_that_was_cut_goes_on_bit_for_bit(done, config, tmp_path):
    workdir = shutil.copytree(done, tmp_path / "workdir")
    shutil.rmtree(workdir / "pretrain" / "9")
    data = dataclasses.replace(config.data, workers=2, cache="none")
    pretrain(dataclasses.replace(config, data=data), workdir)
    _assert_same(workdir, done)
    assert read_metrics(workdir) == read_metrics(done)
    assert json.loads((workdir / "pretrain.json").read_text()) == json.loads((done / "pretrain.json").read_text())


@pytest.mark.slow
def test_two_processes_compute_what_one_computes(done, records, tmp_path):
    workdir = tmp_path / "workdir"
    with running(2, workdir, records, module="lift_flax.pretrain", **QUICK) as processes:
        assert exit_codes(processes) == [0, 0], said(workdir)
    ours, theirs = read_metrics(workdir), read_metrics(done)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_pretraining_that_was_killed_goes_on(done, config, records, tmp_path, kill):
    workdir = tmp_path / "workdir"
    fields = [f"--config.{name}={value}" for name, value in {"data.dir": records, **QUICK}.items()]
    command = [sys.executable, "-m", "lift_flax.pretrain", "--config=tests/support/small_config.py", *fields]
    with subprocess.Popen([*command, f"--workdir={workdir}"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while (workdir / "pretrain" / "5").is_dir() is False and process.poll() is None:
            pass
        process.send_signal(kill)
        shown, _ = process.communicate(timeout=120)
    assert process.returncode == (0 if kill == signal.SIGTERM else -signal.SIGKILL)
    assert ("stopped by SIGTERM after step" in shown) == (kill == signal.SIGTERM)
    pretrain(config, workdir)
    _assert_same(workdir, done)


def test_labels_are_not_read(done, config, tmp_path, monkeypatch):
    """Any labels give the same weights, to the bit."""
    example, rng = clip_reader.ClipReader._example, np.random.default_rng(0)

    def mislabelled(self, *arguments):
        return {**example(self, *arguments), "label": np.int32(rng.integers(-1, 3))}

    monkeypatch.setattr(clip_reader.ClipReader, "_example", mislabelled)
    pretrain(config, tmp_path / "workdir")
    _assert_same(tmp_path / "workdir", done)


def _with_other(records: Path, folder: Path) -> Path:
    """Copies records whose fold 1 calls two training clips of each group "other"."""
    shutil.copytree(records, folder)
    folds = json.loads((folder / "folds.json").read_text())
    members = folds["folds"]["1"]
    members["other"] = sorted(members["train"])[:6]
    members["train"] = [i for i in members["train"] if i not in members["other"]]
    (folder / "folds.json").write_text(json.dumps(folds))
    return folder


def test_other_clips(records, tmp_path):
    """Clips that the fold does not use may be learnt from, but for groups that it tests on."""
    folder = _with_other(records, tmp_path / "records")
    opened = open_records(str(folder))
    unused = opened.unused(1, [])
    tested = {opened.index[i].group for i in opened.split(1, "test")}
    assert unused and all(opened.index[i].group not in tested for i in unused)
    start = resolve_pretraining(small_config(records=folder, **{**QUICK, "pretrain.clips": "train+other"}), opened)
    assert start.train_ids == opened.split(1, "train") + unused
    with pytest.raises(UserError, match=r"has no other clips in fold 1: leave out config\.pretrain\.clips"):
        config = small_config(records=records, **{**QUICK, "pretrain.clips": "train+other"})
        resolve_pretraining(config, open_records(str(records)))


def test_a_pretraining_that_has_seen_the_test_clips_is_no_start(done, records, tmp_path):
    """As one of another fold, whose training clips are tested on here."""
    swapped = shutil.copytree(records, tmp_path / "swapped")
    folds = json.loads((swapped / "folds.json").read_text())
    members = folds["folds"]["1"]
    members["train"], members["test"] = members["test"], members["train"]
    (swapped / "folds.json").write_text(json.dumps(folds))
    config = small_config(records=swapped, **{**QUICK, "train.init_from": str(done)})
    for resolved in (resolve, resolve_pretraining):
        with pytest.raises(UserError, match=r"was trained on 18 test clips of this run"):
            resolved(config, open_records(str(swapped)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train.batch_size": 1}, "computes one clip at a time"),
        ({"model.streams": "main", "train.distill": False, "model.pvit.unfreeze": "none", "model.pvit.init_from": "x"},
         "leaves nothing to pretrain"),
        ({"pretrain.temperature": 0.0}, r"config\.pretrain\.temperature is 0\.0: it must not be below 0\.01"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(records, fields, message):
    with pytest.raises(UserError, match=message) as raised:
        check(small_config(records=records, **{**FIELDS, **fields}))
    assert "\n" not in str(raised.value)


def test_as_many_clips_as_a_batch_holds(records):
    with pytest.raises(UserError, match=r"18 training clips .*: set config\.train\.batch_size=18, or less"):
        resolve_pretraining(
            small_config(records=records, **{**QUICK, "train.batch_size": 20}), open_records(str(records))
        )


def test_workdirs_of_the_other_kind_are_refused(done, run, config, records):
    with pytest.raises(UserError, match=r"is the workdir of a training: choose another one"):
        pretrain(dataclasses.replace(config, data=config.data), run)
    with pytest.raises(UserError, match=r"is the workdir of a pretraining: choose .*--config\.train\.init_from="):
        train_and_test(small_config(records=records, **LIGHT), done)
    with pytest.raises(UserError, match=r"holds a pretraining: train from it with --config\.train\.init_from="):
        cli.main(["evaluate", f"--workdir={done}"])


def test_another_config_is_refused(done, records):
    with pytest.raises(UserError, match=r"holds a run of another config: pretrain\.temperature"):
        pretrain(small_config(records=records, **{**QUICK, "pretrain.temperature": 0.5}), done)


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_the_command_ends_with_how_it_went(done, records, capsys, monkeypatch):
    """On a finished pretraining it trains nothing more."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    before = _arrays(done)
    fields = [f"--config.{name}={value}" for name, value in {"data.dir": records, **QUICK}.items()]
    cli.main(["pretrain", "--config=tests/support/small_config.py", *fields, f"--workdir={done}"])
    shown = capsys.readouterr().out
    assert "clips: 18 to train on, 0 for validation, none is tested on" in shown
    assert "pretrained on 18 clips: in the last epoch" in shown and f"--config.train.init_from={done}" in shown
    assert _arrays(done).keys() == before.keys()
    with pytest.raises(UserError, match="--workdir=DIR is needed"):
        cli.main(["pretrain", "--config=tests/support/small_config.py", *fields])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_every_fold_has_a_pretraining_of_its_own(records, tmp_path, capsys, monkeypatch):
    """`train --folds` finds them by their names."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    two = shutil.copytree(records, tmp_path / "records")
    folds = json.loads((two / "folds.json").read_text())
    members = folds["folds"]["1"]
    held, learnt = members["train"][:6], members["train"][6:] + members["test"]
    folds["folds"]["2"] = {"train": learnt, "test": held}
    (two / "folds.json").write_text(json.dumps(folds))
    fields = {"data.dir": two, **QUICK, "pretrain.epochs": 1, "train.teacher_epochs": 1, "train.student_epochs": 1}
    words = ["--config=tests/support/small_config.py", *(f"--config.{n}={v}" for n, v in fields.items()), "--folds=all"]
    pre, runs = tmp_path / "pre", tmp_path / "runs"
    cli.main(["pretrain", *words, f"--workdir={pre}"])
    assert {path.name for path in pre.iterdir()} == {"fold1", "fold2"}
    cli.main(["train", *words, f"--config.train.init_from={pre}", f"--workdir={runs}"])
    shown = capsys.readouterr().out
    assert all(f"arrays from {pre / name}" in shown for name in ("fold1", "fold2"))
