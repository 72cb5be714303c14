"""What goes wrong while a run saves or learns: nothing already saved is lost, and one line says what to do."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import pytest

from lift_flax import errors, main
from lift_flax.data import records as records_lib
from lift_flax.data.batches import train_batches
from lift_flax.distributed import processes as cluster
from lift_flax.errors import UserError
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.train import run
from tests.support.run_tools import ROOT, assert_same_state, exit_codes, newest_state, running, said, wait_for_step
from tests.support.small_config import small_config


def test_a_loss_that_is_no_number_stops_the_run(records, tmp_path):
    """The step after the one that broke the weights is seen before anything of it is saved, with what was in it."""
    workdir = tmp_path / "workdir"
    broken = small_config(records=records, **{"train.learning_rate": 1e30})
    wanted = r"loss is (nan|inf) and its gradient's norm \S+ at step 2, on the clips"
    with pytest.raises(UserError, match=wanted) as told:
        run.train_and_test(broken, workdir)
    assert "no checkpoint was saved: lower config.train.learning_rate" in str(told.value)
    opened = records_lib.open_records(str(records))
    ids, _ = opened.train_and_validation(1, 0.0, 0)
    batches = train_batches(opened, broken, ids, seed=1, first_step=1)
    with contextlib.closing(batches):
        assert f"clips {', '.join(next(batches)['id'].tolist())};" in str(told.value)
    assert not [path for path in (workdir / "teacher").iterdir() if path.name.isdigit()]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system with room for one checkpoint of the student beside the teacher's."""
    folder = tmp_path / "workdir"
    folder.mkdir()
    ran = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=26m", "none", folder], capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"cannot mount a small file system: {ran.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_nothing_that_was_saved(small_disk, records, tmp_path):
    """The run ends with one line; with room again the same command goes on from what was saved, as if nothing was."""
    workdir, whole = small_disk, tmp_path / "whole"
    with running(1, workdir, records) as processes:
        assert exit_codes(processes) == [2], said(workdir)
    (line,) = [line for line in said(workdir).splitlines() if line.startswith("error: ")]
    kept = re.search(r"cannot save a checkpoint in .*/(\w+) \(it needs .* are free\); step (\d+) is kept: see", line)
    phase, step = kept[1], int(kept[2])
    assert [int(path.name) for path in (workdir / phase).iterdir() if path.name.isdigit()] == [step]
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    for folder in (workdir, whole):
        with running(1, folder, records) as processes:
            assert exit_codes(processes) == [0], said(folder)
    assert f"resuming after step {step}" in said(workdir)
    assert read_metrics(workdir) == read_metrics(whole)
    assert_same_state(newest_state(workdir, phase, small_config()), newest_state(whole, phase, small_config()))


FILL = """
import contextlib, sys
from pathlib import Path
import numpy as np
from lift_flax import errors
from lift_flax.runs.checkpoints import Checkpoints

def main():
    with contextlib.closing(Checkpoints(Path(sys.argv[1]))) as checkpoints:
        checkpoints.save(1, {"array": np.zeros(2**10, np.float32)}, data={"examples": 4})
        checkpoints._check_room = lambda size: None  # somebody else fills the disk after it was asked
        large = np.random.default_rng(0).random(2**23, np.float32)
        checkpoints.save(2, {"array": large}, data={"examples": 8})
        checkpoints.wait()

errors.run_cli(main)
"""


def test_a_disk_that_fills_up_during_a_save_is_told(small_disk):
    command = [sys.executable, "-c", FILL, str(small_disk / "teacher")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    wanted = r"error: cannot save .*No space left.*; step 1 is kept: see that there is room"
    assert re.match(wanted, ran.stderr.splitlines()[-1])
    assert [path.name for path in (small_disk / "teacher").iterdir() if path.name.isdigit()] == ["1"]


@pytest.mark.parametrize("end", [errors.run_cli, cluster.leave_after], ids=["one process", "many"])
def test_a_disk_that_fills_up_elsewhere_is_one_line_too(small_disk, end):
    """Curves, results, report: not every write is a checkpoint."""
    code = (
        "import sys; from pathlib import Path;"
        "from lift_flax import errors; from lift_flax.distributed import processes;"
        f"{end.__module__.split('.')[-1]}.{end.__name__}(lambda: Path(sys.argv[1]).write_bytes(bytes(30 * 2**20)))"
    )
    command = [sys.executable, "-c", code, str(small_disk / "metrics.jsonl")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == "error: no space left on device: fix the disk, then run the same command again\n"


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


def test_loader_processes_end_with_a_killed_run(records, tmp_path):
    fields = {"data.cache": "none", "data.workers": 2, "train.teacher_epochs": 10_000, "train.checkpoint_epochs": 1000}
    with running(1, tmp_path / "workdir", records, **fields) as (process,):
        wait_for_step(tmp_path / "workdir", "teacher", 1, [process])
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
