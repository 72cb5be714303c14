"""What a run says where /dev/shm is too small for its loader processes, as in a container: in a real, small one."""

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from lift_flax.data import shared_memory
from lift_flax.data.batches import train_batches
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from tests.support.small_config import small_config
from tests.support.small_disk import lines_on_small_disk

SMALL = {"data.workers": 1, "data.num_frames": 16, "data.size": 64, "train.batch_size": 8, "data.cache": "none"}


def _first_batch(records: Path, left: int | None = None, **fields) -> str:
    """What comes of the first batch of training, where another program takes all but `left` bytes of the memory."""
    opened = open_records(str(records))
    try:
        config = small_config(records=records, **{**SMALL, **fields})
        batches = train_batches(opened, config, opened.split(1, "train"), seed=0, first_step=0)
        if left is not None:
            found = os.statvfs("/dev/shm")
            Path("/dev/shm/other").write_bytes(bytes(found.f_bavail * found.f_frsize - left))
        with contextlib.closing(batches):
            return str(next(batches)["clip"].shape)
    except UserError as error:
        return f"error: {error}"


FIRST_BATCHES = """
import sys
from tests.data.test_shared_memory import _first_batch

if __name__ == "__main__":
    records = sys.argv[1]
    print(_first_batch(records, **{"data.workers": 8}))
    print(_first_batch(records, **{"data.workers": 0}))
    print(_first_batch(records, left=2**20))
"""


def test_too_small_shared_memory_is_named(records):
    """Before anything starts; and when other programs take it while a run reads."""
    before, threads, taken = lines_on_small_disk("/dev/shm", "64m", FIRST_BATCHES, records)
    assert before.startswith("error: shared memory is too small: /dev/shm has 64.0 MiB free, and 8 loader processes ")
    assert threads == "(8, 16, 64, 64, 3)"
    assert taken.startswith("error: a loader process died: shared memory is full (/dev/shm, which has ")
    for line in (before, taken):
        assert "docker run --shm-size=1g" in line and "--config.data.workers=0" in line


NO_ROOM = """
import subprocess, sys
from lift_flax.video.guarded import pool
from lift_flax.errors import UserError
from tests.data.test_shared_memory import _first_batch

if __name__ == "__main__":
    subprocess.run(["mount", "-o", "remount,ro", "/dev/shm"], check=True)
    print(_first_batch(sys.argv[1]))
    try:
        list(pool.run_each(print, {"a": ("never printed",)}, workers=1, time_limit=60))
    except UserError as error:
        print(f"error: {error}")
    subprocess.run(["mount", "-o", "remount,rw", "/dev/shm"], check=True)
    print(_first_batch(sys.argv[1], left=0))
"""


@pytest.mark.slow
def test_semaphores_without_room_are_no_fault_of_the_disk(records):
    read_only, pool, full = lines_on_small_disk("/dev/shm", "64m", NO_ROOM, records)
    assert read_only.startswith("error: the loader processes have no shared memory (/dev/shm: read-only file system)")
    assert pool.startswith("error: worker processes have no shared memory (/dev/shm: read-only file system)")
    assert full.startswith("error: the loader processes have no shared memory (/dev/shm: no space left on device)")


def test_what_is_needed_follows_the_batches(monkeypatch, tmp_path):
    """In a folder with the free room of this disk: a split of one batch is read where training would not fit."""
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(shared_memory, "PLACE", tmp_path)
    shared_memory.check_room(free // 2, batches=1, workers=4)
    with pytest.raises(UserError, match="4 loader processes need"):
        shared_memory.check_room(free // 2, batches=3, workers=4)
    shared_memory.check_room(free // 2, batches=3, workers=0)
    monkeypatch.setattr(shared_memory, "PLACE", tmp_path / "missing")
    shared_memory.check_room(free // 2, batches=3, workers=4)


@pytest.mark.slow
def test_a_loader_process_that_the_system_killed_is_named(records):
    opened = open_records(str(records))
    batches = train_batches(
        opened, small_config(records=records, **SMALL), opened.split(1, "train"), seed=0, first_step=0
    )
    with contextlib.closing(batches), pytest.raises(UserError, match=r"killed, perhaps for lack of memory: set a "):
        next(batches)
        (loader,) = (process.pid for process in multiprocessing.active_children() if "grain" in process.name)
        os.kill(loader or 0, signal.SIGKILL)
        while True:
            next(batches)
