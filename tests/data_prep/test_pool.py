"""Files that hang or crash a process cost their own result and no more."""

import os
import signal
import time

import pytest

from data_prep import pool
from lift_flax.errors import UserError
from lift_flax.video.decode import VideoError


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
    return kind.upper()


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
