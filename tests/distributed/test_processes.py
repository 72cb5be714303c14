"""How processes find each other, fail together and leave, without a run: small programs on this machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lift_flax.distributed import processes
from lift_flax.errors import UserError
from tests import ROOT

PROGRAM = """
import sys, time
from pathlib import Path
from lift_flax.distributed import processes
from lift_flax.errors import UserError

index, coordinator, folder, what = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
processes.join(coordinator, 2, index, search=False, heartbeat_seconds=3)

def work():
    assert processes.from_first(7 + index) == 7
    with processes.all_or_none():
        (folder / f"entered{index}").touch()
        if what == "mistake" and index == 1:
            raise UserError("a mistake of this process")
        if what == "disk" and index == 0:
            raise OSError(28, "No space left on device")
        if what == "bug" and index == 1:
            raise ValueError("a bug of this process")
    (folder / f"left{index}").touch()
    if what == "lost":
        for _ in range(10**6):
            processes.from_first(0)
            time.sleep(0.01)

processes.leave_after(work)
"""


@pytest.fixture
def two(tmp_path):
    """A function that starts two processes of PROGRAM; those that still run are killed at the end."""
    started = []

    def start(what: str) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        for index in (0, 1):
            command = [sys.executable, "-c", PROGRAM, str(index), address, str(tmp_path), what]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            started.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _ended(both: list[subprocess.Popen]) -> tuple[list[int], list[str]]:
    said = [process.communicate(timeout=90)[0] for process in both]
    return [process.returncode for process in both], said


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_a_block_that_all_leave_well(two, tmp_path):
    codes, said = _ended(two("nothing"))
    assert codes == [0, 0], said
    assert _names(tmp_path) == ["entered0", "entered1", "left0", "left1"]


@pytest.mark.parametrize(("what", "by", "message"), [
    ("mistake", 1, "a mistake of this process"),
    pytest.param("disk", 0, "no space left on device: make room there", marks=pytest.mark.slow),
])  # fmt: skip
def test_an_error_of_one_process_is_raised_on_all(two, tmp_path, what, by, message):
    codes, said = _ended(two(what))
    assert codes == [2, 2], said
    for index in (0, 1):
        (line,) = [line for line in said[index].splitlines() if line.startswith("error: ")]
        assert message in line and (f"(process {by})" in line) == (index != by)
        assert "Traceback" not in said[index]
    assert _names(tmp_path) == ["entered0", "entered1"]


@pytest.mark.slow
def test_a_bug_of_one_process_is_a_traceback_there_and_a_line_elsewhere(two, tmp_path):
    codes, said = _ended(two("bug"))
    assert codes[0] != 0 and codes[1] == 1, said
    assert "error: ValueError: a bug of this process (process 1)" in said[0] and "Traceback" not in said[0]
    assert "Traceback" in said[1] and "ValueError: a bug of this process" in said[1]
    assert _names(tmp_path) == ["entered0", "entered1"]


def test_a_process_that_is_killed_ends_the_other(two, tmp_path):
    both = two("lost")
    deadline = time.monotonic() + 90
    while not (tmp_path / "left0").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    start = time.monotonic()
    both[1].send_signal(signal.SIGKILL)
    assert both[0].wait(60) != 0
    assert time.monotonic() - start < 20


def test_addresses_that_cannot_be_are_refused():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        for address, message in {
            f"localhost:{port}": f"port {port} is taken",
            "localhost:bar": "--coordinator is HOST:PORT",
            "localhost": "--coordinator is HOST:PORT",
        }.items():
            with pytest.raises(UserError, match=message):
                processes.join(address, 2, 0, search=False, heartbeat_seconds=3)
    with pytest.raises(UserError, match="belong together: give all three or none"):
        processes.join("localhost:1", None, 0, search=False, heartbeat_seconds=3)
    with pytest.raises(UserError, match="--process_id lies between 0 and --num_processes - 1"):
        processes.join("localhost:1", 2, 2, search=False, heartbeat_seconds=3)


def test_one_process_alone_needs_no_agreement():
    assert processes.is_first() and processes.from_first(3) == 3
    with pytest.raises(UserError, match="mine"), processes.all_or_none():
        raise UserError("mine")
    with pytest.raises(ValueError, match="a bug"), processes.all_or_none():
        raise ValueError("a bug")
