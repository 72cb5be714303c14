"""Runs on several processes of this machine, over gloo: same results, and what happens when one of them is stopped."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lift_flax import presets
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.train.run import train_and_test
from tests import ROOT
from tests.support.run_tools import exit_codes, newest_state, running, said, wait_for_step
from tests.support.small_config import LIGHT, small_config

# Steps so small that runs which sum in another order do not drift apart, and enough of them to be interrupted.  At 64
# pixels BatchNorm has enough values in the last stage for gradients that do not hang on the last digit.
FIELDS = {"model.luminous.size": 64, "train.learning_rate": 1e-7, "train.teacher_epochs": 8, "train.student_epochs": 4}
# Largest relative difference of losses.  The student's Fourier Enhancement enlarges rounding on clips as small as
# these; the teacher has none.  To the light network clips look alike at the start, and its BatchNorm enlarges rounding.
BOUNDS = {"teacher": 1e-5, "student": 1e-4}
LIGHT_BOUNDS = {"student": 1e-2}
ANY = {**FIELDS, **presets.ANY_LIGHT}


def _uninterrupted(workdir: Path, records: Path, fields: dict) -> None:
    """Makes an uninterrupted run of one process."""
    train_and_test(small_config(records=records, **fields), workdir)


@pytest.fixture(scope="session")
def alone(records, build_once) -> Path:
    """An uninterrupted run of FIELDS."""
    folder = build_once("alone", lambda folder: _uninterrupted(folder / "workdir", records, FIELDS))
    return folder / "workdir"


def _assert_same_run(workdir: Path, alone: Path, fields: dict = FIELDS) -> None:
    """The same steps with the same numbers, and the same predictions of every test clip."""
    bounds = LIGHT_BOUNDS if fields is LIGHT else BOUNDS
    ours, theirs = read_metrics(workdir), read_metrics(alone)
    assert [(m["phase"], m["split"], m["step"]) for m in ours] == [(m["phase"], m["split"], m["step"]) for m in theirs]
    for phase, rtol in bounds.items():
        losses = [[m["loss"] for m in metrics if m["phase"] == phase] for metrics in (ours, theirs)]
        np.testing.assert_allclose(*losses, rtol=rtol, err_msg=phase)
    with np.load(workdir / "test_predictions.npz") as mine, np.load(alone / "test_predictions.npz") as other:
        assert mine["ids"].tolist() == other["ids"].tolist() and len(mine["ids"]) == len(mine["logits"]) == 6
        np.testing.assert_allclose(mine["logits"], other["logits"], rtol=1e-3, atol=1e-4)
    for phase in bounds:
        states = [newest_state(folder, phase, small_config(**fields)) for folder in (workdir, alone)]
        assert states[0].keys() == states[1].keys() and states[0]["examples"] == states[1]["examples"]
        for part in ("['params']", "['batch_stats']", "['opt_state'][0].mu", "['opt_state'][0].nu"):  # the moments
            mine, other = (
                np.concatenate([value.ravel() for name, value in state.items() if name.startswith(part)])
                for state in states
            )
            error = np.linalg.norm(mine - other) / np.linalg.norm(other)
            print(f"{phase} {part}: {error:.1e} apart")
            # In float32 a unit near zero may be on for one side and off for the other; lost moments would be 1 apart.
            assert error < (0.02 if "opt_state" in part else 1e-5), f"{phase} {part}"


@pytest.mark.parametrize("fields", [
    pytest.param(LIGHT, id="light"), pytest.param(FIELDS, id="whole", marks=pytest.mark.slow),
    pytest.param(ANY, id="any", marks=pytest.mark.slow),
])  # fmt: skip
def test_two_processes_compute_what_one_does(records, request, tmp_path, fields):
    workdir = tmp_path / "workdir"
    with running(2, workdir, records, slurm=True, **fields) as processes:
        assert exit_codes(processes) == [0, 0], said(workdir)
    if fields is FIELDS:
        alone = request.getfixturevalue("alone")
    else:
        alone = tmp_path / "alone"
        _uninterrupted(alone, records, fields)
    _assert_same_run(workdir, alone, fields)
    assert "results:" in said(workdir) and "results:" not in said(workdir, 1)  # one process prints them


@pytest.mark.slow
def test_sigterm_saves_and_any_number_of_processes_continues(records, alone, tmp_path):
    """SIGTERM to the second of two, then to one alone; four, on another mesh, end the run as if nothing happened."""
    workdir, steps = tmp_path / "workdir", [0]
    for count, victim in ((2, 1), (1, 0)):
        with running(count, workdir, records, **FIELDS) as processes:
            wait_for_step(workdir, "teacher", steps[-1] + 3, processes)
            processes[victim].send_signal(signal.SIGTERM)
            assert exit_codes(processes) == [0] * count, said(workdir)
        assert "stopped by SIGTERM after step" in said(workdir) and "the same command continues" in said(workdir)
        steps.append(int(said(workdir).split("SIGTERM after step ")[1].split()[0]))
        assert (workdir / "teacher" / str(steps[-1])).is_dir() and not (workdir / "results.json").exists()
    assert 3 <= steps[1] < steps[2] < 36
    with running(4, workdir, records, **FIELDS, **{"mesh.fsdp": 2}) as processes:
        assert exit_codes(processes) == [0] * 4, said(workdir)
    assert f"resuming after step {steps[2]}" in said(workdir)
    _assert_same_run(workdir, alone)


@pytest.mark.slow
def test_damage_and_a_stop_in_the_second_phase(records, alone, tmp_path):
    """Two processes put a damaged end of the teacher aside, and stop in the student when the first has SIGTERM."""
    workdir = tmp_path / "workdir"
    shutil.copytree(alone, workdir)
    shutil.rmtree(workdir / "student")
    (workdir / "results.json").unlink()
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (workdir / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["phase"] == "teacher"))
    for file in (workdir / "teacher" / "36" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with running(2, workdir, records, **FIELDS) as processes:
        wait_for_step(workdir, "student", 1, processes)
        processes[0].send_signal(signal.SIGTERM)
        assert exit_codes(processes) == [0, 0], said(workdir)
    assert "teacher/36 does not restore" in said(workdir) and (workdir / "teacher" / "36.damaged").is_dir()
    assert "resuming after step 32" in said(workdir) and "of the student, which is saved" in said(workdir)
    with running(1, workdir, records, **FIELDS) as processes:
        assert exit_codes(processes) == [0], said(workdir)
    _assert_same_run(workdir, alone)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_process_ends_the_others(records, tmp_path, victim, how):
    """Killed or frozen: the other one leaves with an error within the heartbeat's time (3 s here), not hangs."""
    workdir = tmp_path / "workdir"
    fields = {**LIGHT, "train.student_epochs": 10_000, "train.checkpoint_epochs": 1000, "mesh.heartbeat_seconds": 3}
    with running(2, workdir, records, **fields) as processes:
        wait_for_step(workdir, "student", 3, processes)
        os.kill(processes[victim].pid, how)
        start = time.monotonic()
        code = processes[1 - victim].wait(60)
        assert time.monotonic() - start < 20
        assert code != 0


@pytest.mark.slow
def test_an_address_that_cannot_be_is_refused(records, tmp_path):
    """Taken by another program, or not a number: JAX itself would crash."""
    command = [
        sys.executable,
        "-m",
        "lift_flax.main",
        "--config=tests/support/small_config.py",
        f"--workdir={tmp_path / 'run'}",
    ]
    command += [f"--config.data.dir={records}", "--num_processes=2", "--process_id=0"]
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        addresses = {f"localhost:{port}": f"port {port} is taken", "localhost:bar": "--coordinator is HOST:PORT"}
        for address, message in addresses.items():
            ran = subprocess.run([*command, f"--coordinator={address}"], cwd=ROOT, capture_output=True, text=True)
            assert ran.returncode == 2 and message in ran.stderr, ran.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("last", "message"), [
    ({"data.dir": "nowhere"}, "nowhere does not exist"),
    ({"seed": 1}, r"another config: seed \(0 there, 1 now\)"),
])  # fmt: skip
def test_an_error_on_one_process_is_reported_by_all(records, tmp_path, last, message):
    workdir = tmp_path / "workdir"
    with running(2, workdir, records, last=last, **LIGHT) as processes:
        assert exit_codes(processes) == [2, 2]
    for index in (0, 1):
        assert re.search(f"^error: .*{message}", said(workdir, index), re.MULTILINE), said(workdir, index)
        assert "Traceback" not in said(workdir, index)
    assert not (workdir / "student").exists()


@pytest.mark.slow
def test_what_one_process_alone_finds_ends_all(records, tmp_path):
    """Its copy of the records is damaged: it says so and has exit code 2, the other one does not wait for ever."""
    copy, workdir = tmp_path / "records", tmp_path / "workdir"
    shutil.copytree(records, copy)
    (file,) = copy.rglob("*.array_record*")
    data = bytearray(file.read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    file.write_bytes(data)
    with running(2, workdir, records, last={"data.dir": copy}, **LIGHT, **{"mesh.heartbeat_seconds": 3}) as processes:
        first, last = exit_codes(processes, 200)
    assert (last, first != 0) == (2, True), said(workdir, 1)
    (line,) = [line for line in said(workdir, 1).splitlines() if line.startswith("error: ")]
    assert "build the records again" in line
