"""Who may speak to a server that others can reach, and what comes back of attacks."""

import contextlib
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from lift_flax.serve.access import is_address
from tests.support.live_tools import LiveServer, live_server, received

SECRET_WORDS = re.compile(r"/(?:tmp|work|root|home|proc|usr)/|Traceback|File \"")


@pytest.fixture(scope="module")
def open_server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that listens on all addresses, with a token."""
    with live_server(run, tmp_path_factory.mktemp("open") / "log", "--host=0.0.0.0", "--name=cam.example") as started:
        yield started


def ask(server: LiveServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str):
    """(status, headers, text) of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    assert not SECRET_WORDS.search(text), text
    return answer.status, dict(answer.getheaders()), text


def test_the_page_binds_the_browser(server: LiveServer):
    status, headers, text = ask(server, "/")
    assert status == 200 and "<title>lift_flax live</title>" in text
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?! type=\"module\" src=)|style=|\son\w+=|https?://", text)
    for name in re.findall(r'(?:src|href)="(page/[^"]+)"', text):
        assert ask(server, f"/{name}")[0] == 200, name


@pytest.mark.parametrize(("headers", "status"), [
    ({"Host": "evil.example"}, 421),
    ({"Host": "127.0.0.1.evil.example:80"}, 421),
    ({"Host": "192.168.1.2"}, 421),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
])  # fmt: skip
def test_other_sites_are_refused(server: LiveServer, headers, status):
    for path in ("/", "/health", "/page/main.js"):
        assert ask(server, path, **headers)[0] == status
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    assert ask(server, "/live", **headers, **upgrade, Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==")[0] == 403


@pytest.mark.slow
def test_who_has_no_token_gets_nothing(open_server: LiveServer):
    assert open_server.token and f"token={open_server.token}" in open_server.log.read_text()
    assert "without --certfile browsers give this page no camera" in open_server.log.read_text()
    for path in ("/events", "/stream", "/card", f"/events?token={open_server.token[:-1]}", "/events?token="):
        status, _, text = ask(open_server, path)
        assert status == 401 and "the token is missing or wrong" in text
    assert ask(open_server, "/predict", "POST", b"")[0] == 401
    assert ask(open_server, "/health")[0] == 200
    address = f"ws://127.0.0.1:{open_server.port}/live"
    with pytest.raises(InvalidStatus), connect(address):
        pass
    assert ask(open_server, f"/events?token={open_server.token}")[0] == 409, "let in, and told that there is no camera"
    assert ask(open_server, "/events", Authorization=f"Bearer {open_server.token}")[0] == 409
    assert ask(open_server, "/")[0] == 200, "the page itself holds nothing, and can be loaded again"
    with open_server.live() as visitor:
        assert not received(visitor, "greeting")[0]["lossless"]


@pytest.mark.slow
def test_names_of_a_server(open_server: LiveServer):
    """Its own, those that are given, and addresses: these cannot be made to lead elsewhere."""
    given = {"Authorization": f"Bearer {open_server.token}"}
    for host in ("cam.example:8008", "CAM.example", "10.1.2.3", "[::1]:9", socket.gethostname(), "localhost"):
        assert ask(open_server, "/", Host=host, **given)[0] == 200, host
    assert ask(open_server, "/", Host="evil.example", **given)[0] == 421
    assert is_address("[fe80::1]") and not is_address("10.1.2.3.evil.example")


def test_a_message_of_100_mb_ends_the_socket(server: LiveServer):
    with server.live() as visitor:
        received(visitor, "greeting")
        with pytest.raises(ConnectionClosed) as closed:
            visitor.send(os.urandom(1000) * 100_000)
            while True:
                visitor.recv(30)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_a_thousand_sockets_leave_room(server: LiveServer):
    """Those that say nothing are hung up on, and the page is there for others afterwards."""
    before = server.sockets
    sockets = []
    try:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                sockets.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        time.sleep(0.5)
        assert server.sockets - before <= 130
    finally:
        for each in sockets:
            each.close()
    until = time.monotonic() + 15
    while (status := _status(server)) != 200:
        assert time.monotonic() < until, status
        time.sleep(0.2)


def _status(server: LiveServer) -> int:
    try:
        return ask(server, "/health")[0]
    except OSError:
        return 0


@pytest.mark.slow
def test_slow_senders_are_hung_up_on(server: LiveServer):
    """One never ends its head, one never sends its body."""
    found: dict[str, float] = {}

    def drip(name: str, head: bytes) -> None:
        since = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
            slow.sendall(head)
            with contextlib.suppress(OSError):
                while slow.recv(1024):
                    pass
        found[name] = time.monotonic() - since

    heads = {
        "head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "body": b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000\r\nConnection: close\r\n\r\n--b\r\n",
    }
    threads = [threading.Thread(target=drip, args=pair) for pair in heads.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(9 < seconds < 25 for seconds in found.values()), found


def test_unknown_places_and_ways(server: LiveServer):
    assert ask(server, "/predict")[0] == 405
    assert ask(server, "/..%2f..%2fetc/passwd")[0] == 404
    assert ask(server, "/page/..%2f__main__.py")[0] == 404
    assert ask(server, "/page/%2e%2e/app.py")[0] == 404
    status, _, text = ask(server, "/events")
    assert status == 409 and "start the server with --source" in json.loads(text)["error"]
