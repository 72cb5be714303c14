"""The programs of `examples/`, each as a process of its own on a run of the tests, and what they print."""

import contextlib
import http.server
import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.conftest import moving_bar
from tests.support.live_tools import PATIENCE, encoded
from tests.support.video_files import write_video

CLASSES = ("down", "right", "still")

pytestmark = pytest.mark.slow


class RunningExample:
    """A program of `examples/` that runs; `line()` waits for the next line of its output, `error_line()` of stderr."""

    def __init__(self, process: subprocess.Popen):
        self._lines: dict[str, queue.Queue[str]] = {}
        for name, pipe in (("out", process.stdout), ("err", process.stderr)):
            lines = self._lines[name] = queue.Queue()
            threading.Thread(target=lambda pipe=pipe, lines=lines: [*map(lines.put, pipe)], daemon=True).start()

    def line(self) -> str:
        return self._lines["out"].get(timeout=PATIENCE).rstrip("\n")

    def error_line(self) -> str:
        return self._lines["err"].get(timeout=PATIENCE).rstrip("\n")


@contextlib.contextmanager
def _running(name: str, *arguments: str | Path) -> Iterator[RunningExample]:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield RunningExample(process)
        finally:
            process.kill()


def test_webcam_answers_for_a_file(run: Path, tmp_path: Path):
    video = write_video(tmp_path / "clip.mp4", moving_bar(1, 3, 30))
    program = ROOT / "examples" / "webcam.py"
    ran = subprocess.run([sys.executable, program, run, video], capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    answers = [re.fullmatch(r" +([\d.]+) s  (\w+) ([\d.]+) %", line) for line in ran.stdout.splitlines()]
    assert len(answers) >= 3 and all(answers), ran.stdout
    times, labels, shares = zip(*(answer.groups() for answer in answers if answer), strict=True)
    assert set(labels) <= set(CLASSES) and min(map(float, shares)) > 100 / 3
    assert sorted(map(float, times)) == [*map(float, times)] and float(times[-1]) < 1.0


def test_folder_watcher_answers_for_what_appears(run: Path, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no video")
    with _running("folder_watcher.py", run, tmp_path) as program:
        write_video(tmp_path / "a.mp4", moving_bar(0, 3, 30))
        first = json.loads(program.line())
        (tmp_path / "b.mp4").write_bytes(b"no video either")
        second = json.loads(program.line())
    assert first["video"] == "a.mp4" and isinstance(first["sure"], bool)
    assert set(first["classes"]) == set(CLASSES) and abs(sum(first["classes"].values()) - 1) < 1e-5
    assert second["video"] == "b.mp4" and second["error"]


class _Camera(http.server.BaseHTTPRequestHandler):
    """A network camera that sends JPEGs for a second, then hangs up."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for frame in moving_bar(0, 3, 20):
            data = encoded(frame, "jpeg")
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_callback_goes_on_when_the_camera_comes_back(run: Path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Camera) as camera:
        port = camera.server_address[1]
    with _running("rtsp_callback.py", run, f"http://127.0.0.1:{port}/camera") as program:
        assert program.error_line().startswith("the camera is lost (Connection refused)"), "nobody listens there yet"
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), _Camera) as camera:
            threading.Thread(target=camera.serve_forever, daemon=True).start()
            assert program.line().split()[0] in CLASSES
            lost = [program.error_line() for _ in range(3)][-1]
            assert lost.endswith("trying again in 1 s"), "it was there a second time, else the pause would have grown"
            camera.shutdown()
