"""A live server as a process of its own, and a client that speaks to it over a real socket."""

import contextlib
import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from lift_flax.serve import messages
from tests import ROOT

PATIENCE = 120.0  # s


@dataclasses.dataclass(frozen=True)
class LiveServer:
    """`lift-flax serve` that runs; `address` is what it printed, without the token."""

    process: subprocess.Popen
    address: str
    token: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.address.rstrip("/").rpartition(":")[2])

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    @property
    def sockets(self) -> int:
        folder = Path(f"/proc/{self.process.pid}/fd")
        targets = []
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                targets.append(os.readlink(link))
        return sum(target.startswith("socket:") for target in targets)

    @property
    def megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def live(self, **options: Any) -> ClientConnection:
        """A socket to the page's address."""
        address = f"ws://127.0.0.1:{self.port}/live" + (f"?token={self.token}" if self.token else "")
        return connect(address, max_size=None, compression=None, open_timeout=PATIENCE, **options)


@contextlib.contextmanager
def live_server(workdir: Path, log: Path, *flags: str) -> Iterator[LiveServer]:
    """Starts the server on a free port and ends it with the block."""
    command = [sys.executable, "-m", "lift_flax.cli", "serve", f"--workdir={workdir}", "--port=0", *flags]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stderr=file, stdout=file)
    try:
        address, token = _address(process, log)
        yield LiveServer(process, address, token, log)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _address(process: subprocess.Popen, log: Path) -> tuple[str, str]:
    """(address, token) as the server printed them, once it listens."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := re.search(r"^(https?://\S+:\d+/)(?:\?token=(\S+))?  ", log.read_text(), re.MULTILINE):
            return found[1], found[2] or ""
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


def sent(frame: np.ndarray, time: float, form: str = "rgba", **head: Any) -> bytes:
    """A frame [H,W,3] as the page sends it."""
    height, width = frame.shape[:2]
    if form == "rgba":
        data = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]).tobytes()
    else:
        data = encoded(frame, form)
    return messages.packed({"time": time, "width": width, "height": height, "format": form, **head}, data)


def encoded(frame: np.ndarray, form: str, quality: int = 95) -> bytes:
    """A picture as WebP or JPEG."""
    target = io.BytesIO()
    Image.fromarray(frame).save(target, form, quality=quality)
    return target.getvalue()


def received(socket: ClientConnection, kind: str, patience: float = PATIENCE) -> tuple[dict[str, Any], bytes]:
    """The next message of this kind; others are passed over, but for errors."""
    until = time.monotonic() + patience
    while True:
        message = socket.recv(max(until - time.monotonic(), 0.01))
        head, data = (json.loads(message), b"") if isinstance(message, str) else messages.unpacked(message)
        if head["type"] == kind:
            return head, bytes(data)
        assert head["type"] != "error", head


def answers(
    socket: ClientConnection, frames: np.ndarray, times: np.ndarray, first: int, form: str = "rgba"
) -> list[dict]:
    """The answers from frame `first` on; each frame is sent when that for the one before has come."""
    found = []
    for index, (frame, moment) in enumerate(zip(frames, times, strict=True)):
        socket.send(sent(frame, float(moment), form))
        if index < first:
            time.sleep(0.05)  # so that it is looked at before the next one replaces it
            continue
        head, _ = received(socket, "answer")
        assert head["index"] == index, "a frame was passed over"
        found.append(head)
    return found


def first_answer(socket: ClientConnection, frames: np.ndarray, since: float = 0.0) -> tuple[dict[str, Any], bytes]:
    """Films `frames` over and over, 30 a second from `since` on, until an answer comes."""
    until = time.monotonic() + PATIENCE
    number = 0
    while time.monotonic() < until:
        socket.send(sent(frames[number % len(frames)], since + number / 30))
        number += 1
        with contextlib.suppress(TimeoutError):
            return received(socket, "answer", 0.05)
    raise TimeoutError("no answer")
