"""Whole runs on small real videos: results, exact resume, killed runs, and what is refused."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lift_flax import main, presets
from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.evaluate.metrics import score
from lift_flax.report import page
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.train.run import train_and_test
from tests import ROOT
from tests.support.run_tools import assert_same_state, exit_codes, newest_state, running, said, wait_for_step
from tests.support.small_config import small_config


@pytest.fixture(scope="module")
def config(records) -> Config:
    return small_config(records=records)


@pytest.fixture
def as_before() -> Iterator[None]:
    """What the command does on SIGTERM ends with the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_flow_as_luminous_input(records, tmp_path, as_before):
    """Both phases on the augmented flow, to the end; the command then finds it finished and writes its page."""
    config = small_config(
        "tiny,luminous=flow", records=records,
        **{"augment.cutmix": 0.5, "augment.shuffle": 0.5, "augment.jitter": 0.0, "log.light_curve": True},
    )  # fmt: skip
    results = train_and_test(config, tmp_path / "run")
    assert results["num_examples"] == 6 and {"teacher", "student"} <= results.keys()
    points = json.loads((tmp_path / "run" / "illumination.json").read_text())["points"]
    assert len(points) == 9 and results["area"].keys() == {"teacher", "student"}
    losses = [line["loss"] for line in read_metrics(tmp_path / "run") if line["split"] == "train"]
    assert len(losses) > 10 and np.isfinite(losses).all()
    assert train_and_test(config, tmp_path / "run") == results
    main._run(config, tmp_path / "run")
    assert "optical flow, its direction as colour" in (tmp_path / "run" / "report.html").read_text()


def test_a_curve_of_flow_needs_all_frames(records, tmp_path):
    """Said before anything is trained."""
    lacking = shutil.copytree(records, tmp_path / "records")
    report = json.loads((lacking / "prep_report.json").read_text())
    assert report["all_frames"]
    (lacking / "prep_report.json").write_text(json.dumps({**report, "all_frames": False}))
    config = small_config("tiny,luminous=flow", records=lacking, **{"log.light_curve": True})
    with pytest.raises(UserError, match="lacks frames of its videos.*--max-frames=all"):
        train_and_test(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_says_how_its_curve_is_measured(run, config, tmp_path, capsys):
    workdir = shutil.copytree(run, tmp_path / "workdir")
    train_and_test(dataclasses.replace(config, log=dataclasses.replace(config.log, light_curve=True)), workdir)
    assert f"evaluate --workdir={workdir} --illumination" in capsys.readouterr().out


def _curves(workdir: Path) -> list[dict]:
    return sorted(read_metrics(workdir), key=lambda line: (line["phase"], line["split"], line["step"]))


def test_results_and_files_of_a_run(run, config):
    results = json.loads((run / "results.json").read_text())
    assert results["dataset"] == "small" and results["split"] == "test" and results["views"] == "1x1"
    assert results["num_examples"] == 6 and results["classes"] == ["down", "right", "still"]
    for network in ("teacher", "student"):
        assert 0 <= results[network]["top1"] <= 1 and results[network]["top5"] is None
        assert set(results[network]["per_class"]) == {"down", "right", "still"}
        assert np.array(results[network]["confusion"]).sum() == 6
    with np.load(run / "test_predictions.npz") as predictions:
        assert (
            score(predictions["logits"], predictions["labels"], ("a", "b", "c"))["top1"] == results["student"]["top1"]
        )
    assert any((run / "tensorboard").iterdir())
    lines = [line for line in _curves(run) if line["split"] == "train"]
    assert {line["phase"] for line in lines} == {"teacher", "student"}
    assert [line["step"] for line in lines if line["phase"] == "teacher"] == list(range(1, 10))  # 2 * 18 / 4 steps


def test_training_is_reported_beside_the_test(run):
    """Means over the last epoch, which metrics.jsonl holds for every epoch, and what the network is made of."""
    results, lines = json.loads((run / "results.json").read_text()), _curves(run)
    for phase in ("teacher", "student"):
        steps, epochs = ([m for m in lines if (m["phase"], m["split"]) == (phase, s)] for s in ("train", "epoch"))
        assert [(line["step"], line["epoch"]) for line in epochs] == [(5, 1.0), (9, 2.0)]
        for epoch, part in zip(epochs, (steps[:5], steps[5:]), strict=True):
            for name in ("loss", "top1"):
                assert epoch[name] == pytest.approx(np.mean([line[name] for line in part]))
        assert 0 < epochs[1]["learning_rate"] < epochs[0]["learning_rate"] < 1e-2
        facts = results["training"][phase]
        assert (facts["epochs"], facts["steps"], facts["step"]) == (2, 9, 9)
        assert (facts["loss"], facts["top1"]) == (epochs[1]["loss"], epochs[1]["top1"])
        assert facts["chance"] == pytest.approx(1 / 3) and facts["fitted"] == (facts["top1"] >= 2 / 3)
        assert 0 < facts["trained_parameters"] <= facts["parameters"]
    student = results["training"]["student"]
    assert student["trained_parameters"] < student["parameters"]  # the trunk is frozen


def test_the_command_shows_a_finished_run_and_writes_its_page(run, config, tmp_path, capsys, monkeypatch, as_before):
    """The page comes last: an error while it is written, or SIGTERM, costs no results."""
    workdir = tmp_path / "workdir"
    shutil.copytree(run, workdir)
    before = (workdir / "results.json").read_bytes()
    main._run(config, workdir)
    assert (workdir / "report.html").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert "holds a finished run" in shown and "top-1" in shown and f"report: {workdir / 'report.html'}" in shown
    assert f" predict --workdir={workdir} VIDEO" in shown

    def full(workdir):
        raise OSError(errno.ENOSPC, "No space left on device")

    def stopped(workdir):
        os.kill(os.getpid(), signal.SIGTERM)
        (workdir / "report.html").write_text("whole all the same")

    monkeypatch.setattr(page, "write_page", full)
    with pytest.raises(OSError, match="No space left"):
        main._run(config, workdir)
    shown = capsys.readouterr().out
    assert "top-1" in shown and "report:" not in shown
    monkeypatch.setattr(page, "write_page", stopped)
    main._run(config, workdir)
    assert (workdir / "report.html").read_text() == "whole all the same"
    assert (workdir / "results.json").read_bytes() == before


def test_a_finished_run_says_the_same_again(run, config):
    before = json.loads((run / "results.json").read_text())
    again = train_and_test(config, run)
    assert again == before


@pytest.mark.parametrize(
    ("phase", "workers"), [pytest.param("teacher", 0, marks=pytest.mark.slow), ("student", 2)], ids=str
)
def test_resume_is_exact(run, config, tmp_path, phase, workers):
    """A run cut after its first epoch and continued equals the uninterrupted one bit by bit."""
    _assert_resume_is_exact(run, config, tmp_path / "workdir", phase, workers)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_resume_is_exact_in_any_light(records, build_once, tmp_path, phase):
    config = small_config(records=records, **presets.ANY_LIGHT)
    folder = build_once("in any light", lambda folder: train_and_test(config, folder / "run"))
    _assert_resume_is_exact(folder / "run", config, tmp_path / "workdir", phase, workers=0)


def _assert_resume_is_exact(run: Path, config: Config, workdir: Path, phase: str, workers: int) -> None:
    """Cuts a copy of `run` in `phase`, and continues it."""
    shutil.copytree(run, workdir)
    for later in ("student",) if phase == "teacher" else ():
        shutil.rmtree(workdir / later)
    newest = max(int(p.name) for p in (workdir / phase).iterdir() if p.name.isdigit())
    shutil.rmtree(workdir / phase / str(newest))
    (workdir / "results.json").unlink()
    (workdir / "metrics.jsonl").write_text('{"phase": "teacher", "spl')  # a line that was cut off
    data = dataclasses.replace(config.data, workers=workers, cache="memory" if workers == 0 else "none")
    train_and_test(dataclasses.replace(config, data=data), workdir)
    assert_same_state(newest_state(workdir, phase, config), newest_state(run, phase, config))
    expected = [line for line in _curves(run) if line["phase"] == phase and line["step"] > 5]
    assert [line for line in _curves(workdir) if line["phase"] == phase] == expected


@pytest.mark.slow
def test_killed_runs_files_do_no_harm(run, config, tmp_path):
    """kill -9 of the real command while it trains; the same command then ends with the uninterrupted run's weights."""
    workdir = tmp_path / "workdir"
    code = (
        "import sys, json; from pathlib import Path; from lift_flax import config_checks;"
        "from lift_flax.train.run import train_and_test;"
        "train_and_test(config_checks.from_dict(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(run / "config.json"), str(workdir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (workdir / "teacher" / "5").is_dir() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert (workdir / "teacher" / "5").is_dir()
    (workdir / "teacher" / "9.orbax-checkpoint-tmp" / "state").mkdir(parents=True)  # a save that was cut off
    train_and_test(config, workdir)
    for phase in ("teacher", "student"):
        assert_same_state(newest_state(workdir, phase, config), newest_state(run, phase, config))


@pytest.mark.slow
def test_a_run_without_a_teacher_validates_each_epoch(records, tmp_path, capsys):
    """That the best step is used even where it is in the middle: tests/train/test_loop.py."""
    config = small_config(
        records=records, **{"data.val_share": 0.34, "train.distill": False, "train.student_epochs": 3}
    )
    results = train_and_test(config, tmp_path / "workdir")
    assert results["teacher"] is None and not (tmp_path / "workdir" / "teacher").exists()
    validation = [line for line in read_metrics(tmp_path / "workdir") if line["split"] == "validation"]
    assert len(validation) == 3
    chosen = int(capsys.readouterr().out.split("using the checkpoint of step ")[1].split()[0])
    assert max(line["top1"] for line in validation) == {line["step"]: line["top1"] for line in validation}[chosen]


def test_sigterm_at_any_moment_loses_nothing(run, config, records, tmp_path):
    workdir = tmp_path / "workdir"
    with running(1, workdir, records) as processes:
        wait_for_step(workdir, "teacher", 1, processes)
        processes[0].send_signal(signal.SIGTERM)
        assert exit_codes(processes) == [0]
    assert "stopped by SIGTERM after step" in said(workdir)
    train_and_test(config, workdir)
    for phase in ("teacher", "student"):
        assert_same_state(newest_state(workdir, phase, config), newest_state(run, phase, config))
    assert read_metrics(workdir) == read_metrics(run)


@pytest.mark.slow
def test_a_trace_of_some_steps(config, tmp_path):
    profiled = dataclasses.replace(config, train=dataclasses.replace(config.train, profile_steps="3:4"))
    train_and_test(profiled, tmp_path / "workdir")
    for phase in ("teacher", "student"):
        assert list((tmp_path / "workdir" / "profile" / phase).rglob("*.xplane.pb"))
    lines = [json.loads(line) for line in (tmp_path / "workdir" / "metrics.jsonl").read_text().splitlines()]
    clocks = [line["clock"] for line in lines if line["split"] == "train" and line["step"] > 1]
    assert all(c["examples_per_s"] > 0 and 0 <= c["data_wait"] <= 1 and c["host_memory_gib"] > 0 for c in clocks)
