"""A real RTSP camera, GStreamer's server on the loopback, that dies and comes back in mid stream."""

import socket
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.live_tools import live_server, received

# Of the system's Python, for which Debian builds the bindings: python3-gi, gir1.2-gst-rtsp-server-1.0.
_PYTHON = "/usr/bin/python3"
_PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
_CAMERA = textwrap.dedent("""
    import sys, gi
    gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
    Gst.init(None)
    if len(sys.argv) == 1:
        names = ("jpegenc", "rtpjpegpay", "videotestsrc")
        sys.exit(not all(Gst.ElementFactory.find(name) for name in names))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1"); server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch("( videotestsrc is-live=true pattern=ball "
                       "! video/x-raw,format=I420,width=160,height=128,framerate=25/1 "
                       "! jpegenc ! rtpjpegpay name=pay0 )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()
""")


@pytest.fixture(scope="module")
def camera_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the camera; skips where its packages are missing."""
    path = tmp_path_factory.mktemp("rtsp") / "camera.py"
    path.write_text(_CAMERA)
    try:
        subprocess.run([_PYTHON, path], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(
            "no RTSP server here: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
        )
    return path


def _camera(script: Path, port: int) -> subprocess.Popen:
    process = subprocess.Popen([_PYTHON, script, str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def _end(camera: subprocess.Popen) -> None:
    camera.kill()
    camera.communicate()


@pytest.mark.slow
def test_a_camera_dies_and_comes_back(camera_script: Path, run: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    camera = _camera(camera_script, port)
    try:
        flags = [f"--source=rtsp://user:secret@127.0.0.1:{port}/camera"]
        with live_server(run, tmp_path / "log", *flags) as server, server.live() as visitor:
            head, _ = received(visitor, "answer")
            assert [picture["name"] for picture in head["pictures"]][-1] == "filmed"
            _end(camera)
            while (lost := received(visitor, "source")[0])["state"] != "lost":
                pass
            assert lost["again_in"] >= 1 and "secret" not in str(lost)
            camera = _camera(camera_script, port)
            while received(visitor, "source")[0]["state"] != "running":
                pass
            since = time.time()
            while received(visitor, "answer")[0]["time"] < since:
                pass
            assert "secret" not in (tmp_path / "log").read_text()
    finally:
        _end(camera)
