"""What goes wrong while a run trains: one line says what to do."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import pytest

from lift_flax import main
from lift_flax.data.batches import train_batches
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.train import run
from tests import ROOT
from tests.support.run_tools import running, wait_for_step
from tests.support.small_config import small_config


def test_a_loss_that_is_nan_stops_the_run(records, tmp_path):
    """The step after the one that broke the weights is seen before anything of it is saved, with what was in it."""
    workdir = tmp_path / "workdir"
    broken = small_config(records=records, **{"train.learning_rate": 1e30})
    wanted = r"loss is (nan|inf) and its gradient's norm \S+ at step 2, on the clips"
    with pytest.raises(UserError, match=wanted) as raised:
        run.train_and_test(broken, workdir)
    assert "no checkpoint was saved: lower config.train.learning_rate" in str(raised.value)
    opened = open_records(str(records))
    ids, _ = opened.train_and_validation(1, 0.0, 0)
    batches = train_batches(opened, broken, ids, seed=1, first_step=1)
    with contextlib.closing(batches):
        assert f"clips {', '.join(next(batches)['id'].tolist())};" in str(raised.value)
    assert not [path for path in (workdir / "teacher").iterdir() if path.name.isdigit()]


def test_too_little_memory_is_one_line(monkeypatch, tmp_path):
    """An array larger than any machine's memory, in place of a run."""
    monkeypatch.setattr(run, "train_and_test", lambda *_: jnp.zeros(2**50, jnp.uint8).block_until_ready())
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(
            UserError, match=r"too little memory on a device \(RESOURCE_EXHAUSTED.*a smaller batch_size"
        ):
            main._run(small_config(), tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_device_that_is_not_there_is_one_line(records, tmp_path):
    command = [
        sys.executable,
        "-m",
        "lift_flax.main",
        "--config=tests/support/small_config.py",
        f"--config.data.dir={records}",
    ]
    environment = {**os.environ, "JAX_PLATFORMS": "nosuch"}
    command.append(f"--workdir={tmp_path / 'run'}")
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 2 and "no device of JAX_PLATFORMS=nosuch" in ran.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


LOADING = """
import sys, time
from lift_flax.data.batches import train_batches
from lift_flax.data.records import open_records
from tests.support.small_config import small_config

def main():
    opened = open_records(sys.argv[1])
    config = small_config(records=sys.argv[1], **{"data.cache": "none", "data.workers": 2})
    batches = train_batches(opened, config, opened.split(1, "train"), seed=0, first_step=0)
    next(batches)
    print("loaded", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    main()
"""


def test_loader_processes_end_with_a_killed_process(records, tmp_path):
    (script := tmp_path / "loading.py").write_text(LOADING)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(records)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "loaded\n"
        _assert_loaders_end_with(process)


@pytest.mark.slow
def test_loader_processes_end_with_a_killed_run(records, tmp_path):
    fields = {"data.cache": "none", "data.workers": 2, "train.teacher_epochs": 10_000, "train.checkpoint_epochs": 1000}
    with running(1, tmp_path / "workdir", records, **fields) as (process,):
        wait_for_step(tmp_path / "workdir", "teacher", 1, [process])
        _assert_loaders_end_with(process)


def _assert_loaders_end_with(process: subprocess.Popen) -> None:
    loaders = set()
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            loaders |= set((task / "children").read_text().split())
    assert len(loaders) >= 3  # two, and what keeps track of them
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_runs(pid) for pid in loaders):
        time.sleep(0.1)
    assert not any(_runs(pid) for pid in loaders)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
