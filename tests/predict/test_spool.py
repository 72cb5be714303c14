"""Pipes: a video that can be read once is answered, and nobody waits for ever."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift_flax.predict import spool
from lift_flax.predict.given import opened
from lift_flax.video.decode import VideoError
from tests.support.run_tools import ROOT
from tests.support.small_disk import lines_on_small_disk
from tests.support.video_files import write_numbered


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("video") / "a.mp4")


@pytest.fixture
def pipe(tmp_path) -> Path:
    os.mkfifo(tmp_path / "pipe.mp4")
    return tmp_path / "pipe.mp4"


def _numbers(path: Path | str) -> list[int]:
    """The frames that a video gives, in two passes."""
    with opened(path) as (source, timed):
        assert timed
        first = [index for index, _ in source.frames(range(12))]
        return [*first, *(index for index, _ in source.frames([0, 11]))]


WHOLE = [*range(12), 0, 11]


def test_a_named_pipe_is_read_once(video, pipe):
    """Before and after its writer comes; its temporary file is gone afterwards."""
    before = set(os.listdir(tempfile.gettempdir()))
    with subprocess.Popen(f"sleep 0.3; cat '{video}' > '{pipe}'", shell=True) as late:
        assert _numbers(pipe) == WHOLE and late.wait() == 0
    with subprocess.Popen(f"cat '{video}' > '{pipe}'", shell=True) as early:
        time.sleep(0.3)
        assert _numbers(pipe) == WHOLE and early.wait() == 0
    assert not {name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("lift_flax")}


@contextlib.contextmanager
def _written(target: int, parts: list[bytes], pause: float) -> Iterator[None]:
    """Writes parts in a thread, with pauses, and closes the target."""

    def write() -> None:
        with open(target, "wb", buffering=0) as file:
            for part in parts:
                time.sleep(pause)
                file.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_the_shell_passes_on(video, kind):
    """An open end, as <(...) and /dev/stdin are, from a writer that pauses."""
    ends = socket.socketpair() if kind == "socket" else None
    reader, writer = (end.detach() for end in ends) if ends else os.pipe()
    content = video.read_bytes()
    with _written(writer, [content[:3000], content[3000:]], pause=0.2):
        assert _numbers(f"/dev/fd/{reader}") == WHOLE
    with pytest.raises(VideoError, match="empty"):  # there is nothing left
        _numbers(f"/dev/fd/{reader}")
    os.close(reader)


def test_a_pipe_that_nobody_writes_to(pipe, monkeypatch, capsys):
    monkeypatch.setattr(spool, "_SILENCE", 0.1)
    monkeypatch.setattr(spool, "_PATIENCE", 0.5)
    with pytest.raises(VideoError, match="nobody wrote to this pipe for 0.5 s"):
        _numbers(pipe)
    assert capsys.readouterr().err == f"{pipe}: waiting for a program that writes to this pipe\n"


def test_a_writer_may_be_silent_for_longer(video, monkeypatch, capsys):
    monkeypatch.setattr(spool, "_SILENCE", 0.1)
    monkeypatch.setattr(spool, "_PATIENCE", 0.2)
    reader, writer = os.pipe()
    with _written(writer, [video.read_bytes()], pause=0.6):
        assert _numbers(f"/dev/fd/{reader}") == WHOLE
    os.close(reader)
    assert capsys.readouterr().err == f"/dev/fd/{reader}: waiting for data\n"


def test_a_pipe_that_is_cut_or_no_video(video, pipe):
    for command, message in (
        (f"head -c 700 '{video}'", "not a video|damaged|truncated"),
        ("echo text", "not a video"),
    ):
        with subprocess.Popen(f"{command} > '{pipe}'", shell=True):
            with pytest.raises(VideoError, match=message):
                _numbers(pipe)


def test_a_video_may_take_a_share_of_the_temporary_folder(video, monkeypatch):
    monkeypatch.setattr(spool, "_SHARE", 0.0)
    with (
        video.open("rb") as file,
        pytest.raises(VideoError, match="too large for the temporary folder .*set TMPDIR to a"),
    ):
        _numbers_of_file(file)


def _numbers_of_file(file) -> None:
    with opened(file):
        pass


ENDLESS = """
import os, shutil, subprocess, sys
from lift_flax.predict.given import opened
from lift_flax.video.decode import VideoError

folder, video = sys.argv[1:]
os.environ["TMPDIR"] = folder
with subprocess.Popen(["cat", "/dev/zero"], stdout=-1) as endless:
    try:
        with opened(f"/dev/fd/{endless.stdout.fileno()}"):
            pass
    except VideoError as error:
        print(error)
    endless.kill()
print(shutil.disk_usage(folder).used)
with open(video, "rb") as file, opened(file) as (source, _):
    print(len(list(source.frames(range(12)))), shutil.disk_usage(folder).used > 0)
"""


@pytest.mark.slow
def test_an_endless_pipe_ends_before_the_disk_is_full(video, tmp_path):
    endless, used, whole = lines_on_small_disk(tmp_path, "8m", ENDLESS, tmp_path, video)
    assert endless.startswith(f"too large for the temporary folder {tmp_path}: stopped after 7 MiB (it may take 7 MiB)")
    assert (used, whole) == ("0", "12 True")


@pytest.mark.slow
def test_nothing_is_left_by_a_process_that_is_killed(video, tmp_path):
    code = "import sys, time\nfrom lift_flax.predict.given import opened\n"
    code += "with opened(open(sys.argv[1], 'rb')):\n    print('open', flush=True)\n    time.sleep(60)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(video)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"open\n"
        process.kill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_reads_what_a_shell_pipes(run, video):
    """An address among them has its error in its place."""
    words = f"http://host/a.mp4 <(cat '{video}') /dev/stdin"
    command = f"cat '{video}' | '{sys.executable}' -m lift_flax.predict --workdir='{run}' {words}"
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    address, substituted, piped = ended.stdout.splitlines()
    assert address.startswith("http://host/a.mp4: error: an address, and only files are read: save it first")
    assert ended.returncode == 2 and substituted.startswith("/dev/fd/") and piped.startswith("/dev/stdin: ")
    assert substituted.partition(": ")[2].partition("(")[0] == piped.partition(": ")[2].partition("(")[0] != ""
