"""`lift-flax serve` as a command: mistakes are one line, and the end comes soon."""

import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lift_flax.errors import UserError
from lift_flax.serve.__main__ import main
from tests.serve.test_live import FRAMES
from tests.support.live_tools import first_answer, live_server


@pytest.mark.parametrize(("flags", "message"), [
    (["--certfile=a.pem"], "--certfile and --keyfile belong together: give both"),
    (["--certfile=missing.pem", "--keyfile=missing.pem"], "are no certificate with its key"),
    (["--source=missing.mp4"], r"--source=missing.mp4: no such file; give a file, a device"),
    (["--host=no.such.host.invalid"], r"cannot listen on no.such.host.invalid:0 .*: choose another --host"),
    (["--host=a..b"], "--host=a..b is no name of a machine: choose another"),
    (["--port=99999"], "--port=99999: a port is a number from 0 to 65535"),
    (["--workdir=missing"], "missing"),
])  # fmt: skip
def test_mistakes(run: Path, monkeypatch: pytest.MonkeyPatch, flags, message):
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: pytest.fail("it serves"))
    with pytest.raises(UserError, match=message):
        main([f"--workdir={run}", "--port=0", *flags])


def test_a_port_that_is_taken(run: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{port} \(address already in use\)"):
            main([f"--workdir={run}", f"--port={port}"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_within_two_seconds_beside_a_visitor(run: Path, tmp_path: Path, number):
    with live_server(run, tmp_path / "log") as server, server.live() as visitor:
        first_answer(visitor, FRAMES)
        since = time.monotonic()
        server.process.send_signal(number)
        code = server.process.wait(20)
        assert time.monotonic() - since < 2
        assert code in (0, 130, -number, 128 + number)
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("wait", [1.0, 2.5])
def test_an_interrupt_while_it_starts_ends_it(run: Path, tmp_path: Path, wait):
    command = [sys.executable, "-m", "lift_flax.cli", "serve", f"--workdir={run}", "--port=0"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(5) in (0, 130, -signal.SIGINT)
        finally:
            process.kill()


@pytest.mark.slow
def test_https(run: Path, tmp_path: Path):
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl program is installed")
    flags = [f"--certfile={tmp_path / 'cert.pem'}", f"--keyfile={tmp_path / 'key.pem'}"]
    with live_server(run, tmp_path / "log", *flags) as server:
        assert server.address.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        context.check_hostname = False
        with urllib.request.urlopen(f"https://127.0.0.1:{server.port}/health", context=context) as answer:
            assert answer.status == 200
