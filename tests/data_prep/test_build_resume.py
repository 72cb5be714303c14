"""A build that is killed, repeated or doubled: what is done is never done again, and the end is the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep import build, sources, staging
from data_prep.transcode import Encoding, transcode
from lift_flax import files
from lift_flax.errors import UserError, file_system_message
from tests import ROOT
from tests.support.build_tools import command, read_records, run_build, whole_clips
from tests.support.video_files import write_numbered, write_video


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.usefixtures("in_process")
def test_killed_build_continues(tmp_path: Path) -> None:
    """kill -9 in the middle: no process stays behind, nothing is done twice, and the records are the same."""
    for number in range(8):
        frames = np.random.default_rng(number).integers(0, 256, (40, 120, 160, 3), np.uint8)
        write_video(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", frames, preset="ultrafast")
    out = tmp_path / "out"
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--workers", "1", "--out"]
    process = subprocess.Popen(command(*flags, out), cwd=ROOT, stdout=subprocess.DEVNULL)
    folder = out / ".staging" / "clips"
    deadline = time.monotonic() + 30
    while len(whole_clips(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    children = _children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert children and not any(Path(f"/proc/{child}").exists() for child in children)
    staged = whole_clips(folder)
    assert 2 <= len(staged) < 8
    assert not (out / "prep_report.json").exists()

    args = build.parse_args([*flags, str(out)])
    found = sources.read(args, None).clips
    staging.stage(found, folder, build._encoding(args), workers=1, time_limit=60, advance=lambda: None)
    assert len(whole_clips(folder)) == 8
    assert {name: whole_clips(folder)[name] for name in staged} == staged
    build.main([*flags, str(out)])
    build.main([*flags, str(tmp_path / "whole")])
    np.testing.assert_equal(read_records(out), read_records(tmp_path / "whole"))
    assert (out / "folds.json").read_text() == (tmp_path / "whole" / "folds.json").read_text()


@pytest.mark.slow
def test_ten_kills(tmp_path: Path) -> None:
    """kill -9 at ten random moments: what was done is never done again, and the end is that of a quiet build."""
    rng = np.random.default_rng(0)
    for number in range(44):
        frames = rng.integers(0, 256, (40, 160, 200, 3), np.uint8)
        write_video(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", frames, preset="ultrafast")
    (tmp_path / "videos" / "a" / "bad.mp4").write_bytes((tmp_path / "videos" / "a" / "0.mp4").read_bytes()[:9000])
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--workers", "2", "--on-bad=skip", "--flow", "--out"]
    out, staged = tmp_path / "out", {}
    for kill in range(10):
        log = tmp_path / f"{kill}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(command(*flags, out), cwd=ROOT, stdout=said, stderr=said)
        first, deadline = len(staged), time.monotonic() + 60
        while len(whole_clips(out / ".staging" / "clips")) < first + 1 and time.monotonic() < deadline:
            time.sleep(0.005)  # every start does something new
        time.sleep(rng.uniform(0, 0.4))
        assert process.poll() is None, f"start {kill} ended by itself: {log.read_text()}"
        process.kill()
        process.wait()
        now = whole_clips(out / ".staging" / "clips")
        assert {name: now[name] for name in staged} == staged and len(now) > len(staged)
        assert not (out / "prep_report.json").exists()
        staged = now
    assert run_build(*flags, out).returncode == 0
    assert run_build(*flags, tmp_path / "quiet").returncode == 0
    for folder in (out, tmp_path / "quiet"):
        assert sorted(path.name for path in folder.iterdir()) == ["folder", "folds.json", "prep_report.json"]
    _same_records(read_records(out), read_records(tmp_path / "quiet"))
    assert (out / "folds.json").read_text() == (tmp_path / "quiet" / "folds.json").read_text()


_DIES = """
import os, pathlib, shutil, sys
from data_prep import build, write_records
from lift_flax import files
step = sys.argv.pop(1)
rename, rmtree, write = pathlib.Path.rename, shutil.rmtree, write_records.write_records
def die(*args, **kwargs): os._exit(9)
if step == "writing": write_records.write_records = die
if step == "written": pathlib.Path.rename = die
if step == "renamed":
    def renamed(self, target): rename(self, target); die()
    pathlib.Path.rename = renamed
if step == "folds": build.write_text = die
if step == "report":
    count = []
    def second(path, text):
        files.write_text(path, text)
        count.append(path)
        if len(count) == 2: die()
    build.write_text = second
if __name__ == "__main__": build.main(sys.argv[1:])
"""


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "step",
    ["folds", *(pytest.param(step, marks=pytest.mark.slow) for step in ("writing", "written", "renamed", "report"))],
)
def test_death_at_every_step_of_the_end(tmp_path: Path, step: str) -> None:
    """The records are written, moved in place and described: a build that dies in between is finished by the next."""
    for number in range(4):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 5)
    (tmp_path / "dies.py").write_text(_DIES)
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out")]
    died = subprocess.run([sys.executable, str(tmp_path / "dies.py"), step, *flags], cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert died.returncode == 9, died.stderr
    assert (tmp_path / "out" / "prep_report.json").exists() == (step == "report")
    build.main(flags)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["folder", "folds.json", "prep_report.json"]
    assert len(read_records(tmp_path / "out")) == 4


def _same_records(one: dict[str, dict], other: dict[str, dict]) -> None:
    assert one.keys() == other.keys() and one
    for id, record in one.items():
        assert {name: _plain(value) for name, value in record.items()} == {n: _plain(v) for n, v in other[id].items()}


def _plain(value) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_staged_clips_belong_to_their_source_and_settings(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "clip.mp4", 5)
    encoding = Encoding(short_side=64)
    name = staging._staged_name(source, encoding)
    assert staging._staged_name(source, encoding) == name
    assert staging._staged_name(source, Encoding(short_side=64, crf=19)) != name
    os.utime(source, (1, 1))
    assert staging._staged_name(source, encoding) != name
    staging._stage_one(source, tmp_path / "staged", encoding)
    clip = staging._read_staged(tmp_path / "staged")
    whole = transcode(source, encoding)
    assert (clip.parts(), clip.num_frames, clip.source) == (whole.parts, 5, whole.source)
    os.truncate(tmp_path / "staged", 500)  # what a power cut may leave
    assert staging._read_staged(tmp_path / "staged") is None


def test_a_staged_file_that_cannot_be_read_back_is_an_error_of_the_disk(tmp_path: Path, monkeypatch) -> None:
    source = write_numbered(tmp_path / "clip.mp4", 5)
    monkeypatch.setattr(staging, "_read_staged", lambda path: None)
    with pytest.raises(OSError, match="reads back otherwise") as caught:
        staging._stage_one(source, tmp_path / "staged", Encoding(short_side=64))
    assert file_system_message(caught.value)


@pytest.mark.usefixtures("in_process")
def test_a_finished_build_keeps_the_work_of_another_that_was_cut_off(tmp_path: Path) -> None:
    for number in range(4):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 5)
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out")]
    build.main(flags)
    staged = tmp_path / "out" / ".staging" / "clips" / "of-an-overwrite"
    staged.parent.mkdir(parents=True)
    staged.touch()
    build.main(flags)
    assert staged.exists()


def test_one_build_at_a_time(tmp_path: Path) -> None:
    for number in range(4):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 3)
    with files.only_writer(tmp_path / "out" / ".staging", "--out"):
        with pytest.raises(UserError, match="another process is writing"):
            build.main(["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out")])
