"""Files that hang or crash a process cost their own result and no more."""

import os
import signal
import time

import pytest

from lift_flax.errors import UserError
from lift_flax.video.decode import VideoError
from lift_flax.video.guarded import pool


def _work(kind: str) -> str:
    if kind == "hang":
        time.sleep(60)
    elif kind == "crash":
        os.abort()
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "bad":
        raise VideoError("no frames")
    elif kind == "bug":
        raise KeyError("ours")
    elif kind == "mask":
        return str(signal.SIGINT in _held())
    return kind.upper()


def _held() -> set[signal.Signals]:
    return {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def _run(*kinds: str) -> dict[str, object]:
    tasks = {f"{number}{kind}": (kind,) for number, kind in enumerate(kinds)}
    return dict(pool.run_each(_work, tasks, workers=2, time_limit=1.5))


def test_bad_files_leave_the_others_alone() -> None:
    started = time.monotonic()
    results = _run("good", "hang", "crash", "bad", "good", "good")
    assert time.monotonic() - started < 20
    reasons = {key: str(result) for key, result in results.items() if isinstance(result, VideoError)}
    assert reasons == {
        "1hang": "too slow: not read in 1.5 s",
        "2crash": "crashes the decoder (exit code -6)",
        "3bad": "no frames",
    }
    assert {key: result for key, result in results.items() if key not in reasons} == {
        "0good": "GOOD", "4good": "GOOD", "5good": "GOOD",
    }  # fmt: skip


def test_what_is_not_the_files_fault_is_not_blamed_on_it() -> None:
    with pytest.raises(UserError, match="the process at work on 1killed was killed, perhaps for lack of memory"):
        _run("good", "killed", "good")
    with pytest.raises(KeyError, match="ours"):
        _run("bug")
    assert _run() == {}


def test_workers_leave_ctrl_c_to_their_parent_from_their_first_moment_on() -> None:
    """Those too that take the place of others."""
    results = _run("mask", "crash", "crash", "mask")
    assert results["0mask"] == results["3mask"] == "True" and signal.SIGINT not in _held()


def test_ctrl_c_while_workers_start_reaches_the_parent(monkeypatch) -> None:
    start = pool.ProcessPool.schedule

    def interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        return start(*args, **kwargs)

    monkeypatch.setattr(pool.ProcessPool, "schedule", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run("good")
    assert signal.SIGINT not in _held()
