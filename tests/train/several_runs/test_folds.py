"""Folds that are trained by one command: resumed, pooled clip by clip, and what is refused."""

import dataclasses
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import lift_flax
from lift_flax import main
from lift_flax.calls import training
from lift_flax.config import Config
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.errors import UserError
from lift_flax.evaluate import __main__ as evaluate
from lift_flax.evaluate.metrics import interval
from lift_flax.train import folds
from tests.support.run_tools import exit_codes, running, said
from tests.support.small_config import LIGHT, small_config


def _with_folds(records: Path, out: Path, folds: dict[str, set[str]]) -> Path:
    """The records with other folds: {fold: groups to test on}; the other groups are trained on."""
    shutil.copytree(records, out)
    index = json.loads((out / "folds.json").read_text())
    index["folds"] = {
        name: {
            "train": [clip["id"] for clip in index["clips"] if clip["group"] not in tested],
            "test": [clip["id"] for clip in index["clips"] if clip["group"] in tested],
        }
        for name, tested in folds.items()
    }
    (out / "folds.json").write_text(json.dumps(index))
    return out


@pytest.fixture(scope="module")
def by_group(records, tmp_path_factory) -> Path:
    """The records, a fold for each group."""
    out = tmp_path_factory.mktemp("folds") / "by_group"
    return _with_folds(records, out, {str(k + 1): {f"g{k}"} for k in range(4)})


@pytest.fixture(scope="module")
def config(by_group) -> Config:
    return small_config(records=by_group, **LIGHT)


@pytest.fixture(scope="module")
def two_of_four(config, tmp_path_factory) -> Path:
    """The workdir of folds 1 and 3; fold 1 was stopped after its first step and continued."""
    workdir = tmp_path_factory.mktemp("trained") / "workdir"
    (stop := StopSignal())._receive()
    with pytest.raises(Stopped, match="fold 1: stopped by SIGTERM after step 1 of the student, which is saved"):
        next(folds.train_each(folds.choose(config, workdir, "3,1"), stop))
    assert [fold.name for fold, _ in folds.train_each(folds.choose(config, workdir, "3,1"))] == ["1", "3"]
    return workdir


def _predictions(workdir: Path) -> dict[str, np.ndarray]:
    with np.load(workdir / "test_predictions.npz") as arrays:
        return dict(arrays)


def test_evaluate_pools_folds_as_training_did(two_of_four, config, capsys):
    report = folds.pool(config, two_of_four)
    evaluate.main([f"--workdir={two_of_four}", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [run["workdir"] for run in found["runs"]] == [str(two_of_four / f"fold{k}") for k in (1, 3)]
    pooled = found["pooled"]
    assert pooled["folds"] == [1, 3] and pooled["teacher"] is None and pooled["trained_on"] == 0
    assert (pooled["num_examples"], pooled["num_groups"]) == (report["num_examples"], report["num_groups"])
    for name in ("top1", "mean_class", "per_class", "confusion", "interval"):
        assert pooled["student"][name] == report["student"][name], name
    evaluate.main([f"--workdir={two_of_four / 'fold3'}", f"--workdir={two_of_four / 'fold1'}"])
    said = capsys.readouterr().out
    assert "small, folds 3, 1 pooled, test: 12 clips" in said and "whole groups, 2 in all" in said
    assert said.count("student: true") == 1 and "fold 1, test" not in said
    evaluate.main([f"--workdir={two_of_four}", "--each"])
    said = capsys.readouterr().out
    assert said.count("student: true") == 3 and said.index("pooled") < said.index("fold 1, test") < said.index(
        "fold 3,"
    )


def test_every_clip_counts_once_as_its_own_fold_answered(two_of_four, config):
    report = folds.pool(config, two_of_four)
    assert report == json.loads((two_of_four / "results.json").read_text())
    assert [fold["fold"] for fold in report["folds"]] == [1, 3] and report["missing"] == [2, 4]
    assert [fold["groups"] for fold in report["folds"]] == [["g0"], ["g2"]]
    assert (report["num_examples"], report["num_groups"], report["in_several_folds"]) == (12, 2, 0)
    parts = [_predictions(two_of_four / f"fold{number}") for number in (1, 3)]
    hits = np.concatenate([part["logits"].argmax(axis=1) == part["labels"] for part in parts])
    assert report["student"]["top1"] == hits.mean() and report["teacher"] is None
    assert report["student"]["interval"] == interval(hits, ["g0"] * 6 + ["g2"] * 6)
    assert np.sum(report["student"]["confusion"]) == 12
    shares = [fold["student"] for fold in report["folds"]]
    assert report["mean"]["student"]["top1"] == pytest.approx([np.mean(shares), np.std(shares, ddof=1)])
    for number in (1, 3):
        assert lift_flax.load(two_of_four / f"fold{number}").config.data.fold == number


def test_finished_folds_are_pooled_and_not_trained_again(two_of_four, config, tmp_path, capsys):
    """One of the folds is asked for: both count.  A report that is there stays."""
    workdir = tmp_path / "workdir"
    shutil.copytree(two_of_four, workdir)
    (workdir / "fold3" / "report.html").write_text("written before")
    report = lift_flax.train_folds(config, workdir, folds=[3])
    assert [fold["fold"] for fold in report["folds"]] == [1, 3]
    assert report == json.loads((workdir / "results.json").read_text())
    assert (workdir / "fold3" / "report.html").read_text() == "written before"
    shown = capsys.readouterr().out
    assert "fold 3 (1 of 1)" in shown and "nothing is trained again" in shown and "epoch" not in shown


def test_clips_of_several_folds_are_not_pooled(two_of_four, config, tmp_path, capsys):
    """The second fold tests on the clips of the first: there is a mean, and it says so."""
    workdir = tmp_path / "workdir"
    for number in (1, 2):
        shutil.copytree(two_of_four / "fold1", workdir / f"fold{number}")
    report = folds.pool(config, workdir)
    assert report["in_several_folds"] == report["num_examples"] == 6 and report["student"] is None
    assert report["mean"]["student"]["top1"] == [report["folds"][0]["student"], 0]
    main.summary.show_folds(report)
    shown = " ".join(capsys.readouterr().out.split())
    assert "mean of folds" in shown and "± 0.0" in shown and "95 % interval" not in shown
    assert "6 of 6 clips are tested in several folds, so nothing is pooled" in shown
    assert "not finished, and in none of these numbers: fold 3, 4" in shown


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_what_does_not_fit_is_refused_before_anything_is_trained(two_of_four, run, by_group, config, tmp_path):
    cases = [
        (config, tmp_path, "1,5", "has no fold 5: write all, or some of 1,2,3,4"),
        (config, tmp_path, "1,3, 1", "--folds=1,3, 1 names fold 1 twice: name each fold once"),
        (config, tmp_path, " ", "--folds is empty: write all, or some of 1,2,3,4"),
        (config, run, "all", "is the workdir of one run: choose another --workdir for --folds"),
        (config, by_group, "all", "is not empty and not a workdir of folds"),
        (_with(config, learning_rate=1e-5), two_of_four, "2", "fold1 holds a run of another config: train.learning"),
    ]
    for changed, workdir, wanted, message in cases:
        with pytest.raises(UserError, match=message):
            folds.choose(changed, workdir, wanted)
    assert not (two_of_four / "fold2").exists()
    with pytest.raises(UserError, match="--folds sets config.data.fold for each of its runs"):
        main.main(["--config=own:tiny", "--config.data.fold=2", "--folds=all", f"--workdir={tmp_path / 'new'}"])
    with pytest.raises(UserError, match="--folds is empty: write all, or some of 1,2,3,4"):
        main._run(config, tmp_path / "new", "")
    with pytest.raises(UserError, match="--folds is empty"):
        lift_flax.train_folds(config, tmp_path / "new", folds=[])
    with pytest.raises(UserError, match="has no fold 5"):
        lift_flax.train_folds(config, tmp_path / "new", folds="1,5")
    assert [training._wanted(folds) for folds in ([3, 1], "all")] == ["3,1", "all"]
    with pytest.raises(UserError, match=r"folds=2: give numbers in a list, as \[1, 3\], or 'all'"):
        training._wanted(2)  # the call itself checks its types in tests
    with pytest.raises(UserError, match="holds a run for each fold: give one of them, such as .*fold1$"):
        lift_flax.load(two_of_four)
    of_folds = _with(config, distill=True, teacher_from=str(two_of_four))
    chosen = folds.choose(of_folds, tmp_path / "new", "2")
    assert [fold.config.train.teacher_from for fold in chosen] == [str(two_of_four / "fold2")]
    with pytest.raises(UserError, match="fold 2: .*fold2 is not a workdir of a run"):
        next(folds.train_each(chosen))


def _with(config: Config, **train) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **train))


@pytest.mark.slow
def test_leave_groups_out_in_one_command(records, tmp_path, capsys):
    """Two processes are stopped in the second fold; one process ends the same command."""
    both = _with_folds(records, tmp_path / "records", {"1": {"g0", "g1"}, "2": {"g2", "g3"}})
    workdir = tmp_path / "workdir"
    with running(2, workdir, both, flags=("--folds=all",), **LIGHT) as processes:
        deadline = time.monotonic() + 240
        while not _steps(workdir / "fold2") and time.monotonic() < deadline:
            time.sleep(0.02)
        processes[1].send_signal(signal.SIGTERM)
        assert exit_codes(processes) == [0, 0], said(workdir)
    assert "fold 2: stopped by SIGTERM after step" in said(workdir) and "the same command continues" in said(workdir)
    first = (workdir / "fold1" / "results.json").read_bytes()
    before = signal.getsignal(signal.SIGTERM)
    main._run(small_config(records=both, **LIGHT), workdir, "all")
    signal.signal(signal.SIGTERM, before)
    shown = " ".join(capsys.readouterr().out.split())
    assert "fold1 holds a finished run: nothing is trained again" in shown and "resuming after step" in shown
    assert (workdir / "fold1" / "results.json").read_bytes() == first
    report = json.loads((workdir / "results.json").read_text())
    assert report["num_examples"] == 24 and report["num_groups"] == 4 and report["missing"] == []
    assert "each of 24 clips is answered once" in shown
    assert all((workdir / f"fold{number}" / "report.html").is_file() for number in (1, 2))


def _steps(workdir: Path) -> str:
    path = workdir / "metrics.jsonl"
    return path.read_text() if path.exists() else ""
