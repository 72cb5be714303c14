"""What programs ask for: files are answered as `predict` answers them, and a camera is followed."""

import http.client
import io
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lift_flax
from lift_flax.predict.output.lines import as_json
from tests.conftest import moving_bar
from tests.serve.test_access import ask
from tests.support.live_tools import PATIENCE, LiveServer, live_server, received
from tests.support.video_files import write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "bar.mp4", moving_bar(1, 5, 40))


@pytest.fixture(scope="module")
def followed(run: Path, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose camera is a file that plays over and over."""
    with live_server(run, tmp_path_factory.mktemp("followed") / "log", f"--source={video}") as started:
        yield started


def upload(server: LiveServer, name: str, data: bytes, field: str = "file", path: str = "/predict"):
    """(status, JSON) of a file that is sent as a form."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
    body = head + data + b"\r\n--b--\r\n"
    status, _, text = ask(server, path, "POST", body, Content_Type="multipart/form-data; boundary=b")
    return status, json.loads(text)


def test_a_file_is_answered_as_predict_does(server: LiveServer, run: Path, video: Path):
    status, found = upload(server, "../../etc/bar.mp4", video.read_bytes())
    wanted = as_json(lift_flax.load(run)(video))
    assert status == 200 and found["video"] == "bar.mp4" and found["decode_ms"] > 0
    times = {"video", "decode_ms", "model_ms"}
    assert {k: v for k, v in found.items() if k not in times} == {k: v for k, v in wanted.items() if k not in times}


def test_a_short_file_gets_a_timeline_on_request(server: LiveServer, video: Path):
    status, found = upload(server, "bar.mp4", video.read_bytes(), path="/predict?timeline=yes")
    assert status == 200 and len(found["timeline"]) > 1
    assert found["timeline"][0]["start"] >= 0 and found["timeline"][-1]["end"] <= 40 / 25 + 0.01


@pytest.mark.slow
def test_a_long_file_has_events(server: LiveServer, run: Path, tmp_path: Path):
    long = write_video(tmp_path / "long.mp4", np.concatenate([moving_bar(0, 1, 500), moving_bar(1, 1, 500)]))
    status, found = upload(server, "long.mp4", long.read_bytes())
    wanted = as_json(lift_flax.load(run)(long))
    assert status == 200 and found["events"] == wanted["events"] and len(found["timeline"]) > 10


def test_what_is_no_video_is_refused(server: LiveServer, video: Path):
    status, found = upload(server, "<script>alert(1)</script>\n.mp4", b"hello")
    assert status == 422 and found["error"].startswith("not a video") and "/" not in found["error"]
    assert upload(server, "cut.mp4", video.read_bytes()[:2000])[0] == 422
    assert upload(server, "bar.mp4", b"", field="film")[1] == {"error": "the form has no file in the field `file`"}
    assert ask(server, "/predict", "POST", b"abc", Content_Type="text/plain")[0] == 415
    assert ask(server, "/predict", "POST", b"--", Content_Type="multipart/form-data")[0] == 400
    huge = {"Content_Type": "multipart/form-data; boundary=b", "Content_Length": str(10**12)}
    assert ask(server, "/predict", "POST", b"--b\r\n", **huge)[0] == 413


@pytest.mark.slow
def test_bombs_cost_their_sender_an_error(server: LiveServer, tmp_path: Path):
    """A picture of 60000x60000 px as a film, and many black frames in few bytes."""
    Image.new("1", (60_000, 60_000)).save(tmp_path / "huge.png")
    status, found = upload(server, "huge.png", (tmp_path / "huge.png").read_bytes())
    assert status == 422, found
    large = write_video(tmp_path / "large.mp4", np.zeros((4, 2400, 4200, 3), np.uint8))
    status, found = upload(server, "large.mp4", large.read_bytes())
    assert status == 422 and "4200x2400 px: at most 9,437,184 pixels are taken" in found["error"]
    other = write_video(tmp_path / "other.mp4", moving_bar(0, 1, 20))
    listed = f"ffconcat version 1.0\nfile {other}\n".encode()
    status, found = upload(server, "list.mp4", listed)
    assert status == 422, "a list of files is no video"
    with other.open("rb") as held:
        status, found = upload(server, "list.mp4", f"ffconcat version 1.0\nfile {held.fileno()}\n".encode())
    assert status == 422 and found["error"].startswith("not a video")
    long = write_video(tmp_path / "long.mp4", np.zeros((30 * 720, 16, 16, 3), np.uint8))
    status, found = upload(server, "long.mp4", long.read_bytes())
    assert status == 422 and "12 minutes long: at most 10 are taken" in found["error"]


def test_nothing_of_an_upload_is_left(server: LiveServer, video: Path):
    before = server.sockets
    upload(server, "bar.mp4", video.read_bytes() + bytes(3 * 2**20))
    links = [str(path) for path in Path(f"/proc/{server.process.pid}/fd").iterdir()]
    assert server.sockets <= before + 1
    assert not [link for link in links if "tmp" in _target(link) and "deleted" in _target(link)]


def _target(link: str) -> str:
    try:
        return str(Path(link).readlink())
    except OSError:
        return ""


def _lines(server: LiveServer, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    return connection, answer


@pytest.mark.slow
def test_events_follow_the_camera(followed: LiveServer):
    connection, answer = _lines(followed, "/events")
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    events = []
    while len(events) < 3:
        line = answer.readline().decode()
        if line.startswith("data: "):
            events.append(json.loads(line[6:]))
    connection.close()
    assert all(event["label"] in event["probabilities"] for event in events)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert abs(events[-1]["time"] - time.time()) < 60 and events[0]["latency_ms"] > 0


@pytest.mark.slow
def test_the_stream_is_jpegs_with_a_label(followed: LiveServer):
    connection, answer = _lines(followed, "/stream")
    kind = answer.getheader("content-type", "")
    boundary = re.fullmatch(r"multipart/x-mixed-replace; boundary=(\w+)", kind)
    assert boundary and answer.readline() == f"--{boundary[1]}\r\n".encode()
    assert answer.readline() == b"Content-Type: image/jpeg\r\n"
    length = int(answer.readline().split()[1])
    assert answer.readline() == b"\r\n"
    picture = Image.open(io.BytesIO(answer.read(length)))
    connection.close()
    assert picture.size == (64, 48 + 24)
    assert np.asarray(picture)[48:].max() > 150, "white letters on the band"


@pytest.mark.slow
def test_visitors_watch_the_camera_of_the_server(followed: LiveServer):
    assert json.loads(ask(followed, "/health")[2]) == {"status": "ok", "source": "running"}
    with followed.live() as visitor:
        assert received(visitor, "greeting")[0]["source"] == "server"
        head, _ = received(visitor, "answer")
        assert [picture["name"] for picture in head["pictures"]] == ["frame", "lit", "filmed"]


@pytest.mark.slow
def test_a_camera_that_goes_away_is_tried_again(run: Path, video: Path, tmp_path: Path):
    """Here one that is not there yet; the device of a camera is opened in the same way."""
    with live_server(run, tmp_path / "log", "--source=/dev/video93") as server, server.live() as visitor:
        received(visitor, "greeting")
        lost = []
        while len(lost) < 3:
            head, _ = received(visitor, "source")
            lost += [head] if head["state"] == "lost" else []
        pauses = [head["again_in"] for head in lost]
        assert pauses == sorted(pauses) and pauses[-1] > pauses[0]
        assert "no such file" in lost[0]["reason"] and "/dev" not in lost[0]["reason"]
    gone = tmp_path / "gone.mp4"
    shutil.copy(video, gone)
    with live_server(run, tmp_path / "log", f"--source={gone}") as server, server.live() as visitor:
        received(visitor, "answer")
        gone.unlink()
        while received(visitor, "source")[0]["state"] != "lost":
            pass
        shutil.copy(video, gone)
        while received(visitor, "source")[0]["state"] != "running":
            pass
        received(visitor, "answer")
