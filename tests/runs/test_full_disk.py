"""A disk that fills up: nothing already saved is lost, and one line says what to do."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift_flax import errors
from lift_flax.distributed.processes import leave_after
from lift_flax.runs.metrics_log import read_metrics
from tests import ROOT
from tests.support.run_tools import assert_same_state, exit_codes, newest_state, running, said
from tests.support.small_config import small_config


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


@pytest.mark.slow
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


def test_a_disk_that_fills_up_during_a_save_is_reported(small_disk):
    command = [sys.executable, "-c", FILL, str(small_disk / "teacher")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    wanted = r"error: cannot save .*No space left.*; step 1 is kept: see that there is room"
    assert re.match(wanted, ran.stderr.splitlines()[-1])
    assert [path.name for path in (small_disk / "teacher").iterdir() if path.name.isdigit()] == ["1"]


@pytest.mark.parametrize("end", [errors.run_cli, leave_after], ids=["one process", "many"])
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
    assert ran.stderr == "error: no space left on device: make room there, then run the same command again\n"
