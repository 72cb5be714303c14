"""The socket of a visitor: the answers are those of the network, and a visitor who leaves takes everything along."""

import contextlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

import lift_flax
from tests.conftest import moving_bar
from tests.support.live_tools import LiveServer, answers, first_answer, received, sent

FRAMES = moving_bar(0, 3, 30)
TIMES = np.arange(30) / 30


@pytest.fixture(scope="module")
def expected(run: Path):
    """What a stream answers, from its first full window on: (index of that, answers)."""
    stream = lift_flax.load(run).stream(every=1)
    found = [stream.push(frame, float(moment)) for frame, moment in zip(FRAMES, TIMES, strict=True)]
    first = next(i for i, answer in enumerate(found) if answer)
    assert 3 <= first < 20
    return first, found[first:]


def test_answers_are_those_of_a_stream(server: LiveServer, expected):
    first, wanted = expected
    with server.live() as socket:
        greeting, _ = received(socket, "greeting")
        assert greeting["classes"] == ["down", "right", "still"] and greeting["lossless"]
        found = answers(socket, FRAMES, TIMES, first)
        assert [each["label"] for each in found] == [each.label for each in wanted]
        np.testing.assert_allclose(
            [each["probabilities"] for each in found], [each.probabilities for each in wanted], atol=1e-5
        )
        counts = found[-1]["counts"]
        assert counts["received"] == 30 and counts["dropped"] == 0 and counts["answers"] == 30 - first
        assert found[-1]["latency_ms"] > 0 and counts["p95_ms"] >= counts["p50_ms"] > 0


@pytest.mark.slow
def test_lossy_frames_are_nearly_the_same(server: LiveServer, expected):
    first, wanted = expected
    with server.live() as socket:
        found = answers(socket, FRAMES, TIMES, first, "webp")
    np.testing.assert_allclose(
        [each["probabilities"] for each in found], [each.probabilities for each in wanted], atol=0.1
    )


def test_pictures_exposure_and_the_other_network(server: LiveServer):
    with server.live() as socket:
        socket.send(json.dumps({"type": "settings", "stops": -4}))
        head, data = first_answer(socket, FRAMES)
        pictures = {picture["name"]: picture for picture in head["pictures"]}
        assert list(pictures) == ["frame", "lit", "filmed"] and head["stops"] == -4
        assert pictures["frame"]["width"] == 32 and pictures["filmed"]["format"] == "jpeg"
        shown = np.frombuffer(data[: 32 * 32 * 3], np.uint8)
        assert shown.mean() < FRAMES.mean() / 3, "as dark as the slider says"
        socket.send(json.dumps({"type": "settings", "network": "teacher"}))
        for since in range(10, 100, 10):  # answers of the student may still be on their way
            head, _ = first_answer(socket, FRAMES, float(since))
            if head["network"] == "teacher":
                break
        assert head["network"] == "teacher"


@pytest.mark.slow
def test_why(server: LiveServer):
    with server.live() as socket:
        socket.send(json.dumps({"type": "why"}))
        assert received(socket, "why")[0]["error"] == "there is no answer yet to explain"
        first_answer(socket, FRAMES)
        socket.send(json.dumps({"type": "why"}))
        head, data = received(socket, "why")
        assert head["title"].split()[0] in ("down", "right", "still") and data.startswith(b"\x89PNG")


@pytest.mark.parametrize(("message", "reason"), [
    ("hello", "no JSON object"),
    ('{"type": "dance"}', "a message of an unknown type"),
    ('{"type": "settings", "stops": 99}', "stops is a number from -10 to 2"),
    (b"text instead of frames", "a message without a head"),
    (sent(np.zeros((2000, 2000, 3), np.uint8)[:2, :2], 0.0, width=2000, height=2000), "at most 1,228,800 pixels"),
])  # fmt: skip
def test_who_breaks_the_rules_is_told_and_leaves(server: LiveServer, message, reason):
    with server.live() as socket:
        received(socket, "greeting")
        socket.send(message)
        assert reason in json.loads(socket.recv(30))["reason"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_visitors_leave_nothing_behind(server: LiveServer):
    """Nor do they when they vanish in the middle of a frame."""
    _visit(server)
    time.sleep(2)  # until its memory is given back
    before, memory = (server.threads, server.sockets), server.megabytes
    visitors = [threading.Thread(target=_visit, args=(server, number % 2 == 1)) for number in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    until = time.monotonic() + 10
    while server.threads > before[0] or server.sockets > before[1]:
        assert time.monotonic() < until, (before, server.threads, server.sockets)
        time.sleep(0.05)
    while server.megabytes > memory + 5:
        assert time.monotonic() < until, (memory, server.megabytes)
        time.sleep(0.05)


def _visit(server: LiveServer, rudely: bool = False) -> None:
    with server.live() as socket:
        first_answer(socket, FRAMES)
        if rudely:
            socket.socket.close()


def test_places_are_limited(server: LiveServer):
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            received(stack.enter_context(server.live()), "greeting")
        late = stack.enter_context(server.live())
        assert json.loads(late.recv(30))["reason"] == "all 16 places are taken: try again later"
