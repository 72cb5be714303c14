"""The shared thread: the newest job of each owner, in turn."""

import logging
import threading
import time

from lift_flax.serve.visitors.worker import Worker


def test_the_newest_job_of_each_owner_is_done_in_turn():
    worker, done, going = Worker("test"), [], threading.Event()
    held = threading.Event()
    worker.put("first", lambda: (going.set(), held.wait(10)))
    assert going.wait(10)
    replaced = [worker.put(owner, lambda n=n, owner=owner: done.append((owner, n))) for n in range(3) for owner in "ab"]
    worker.put("c", lambda: done.append(("c", 0)))
    worker.drop("c")
    held.set()
    _until(lambda: len(done) == 2)
    assert done == [("a", 2), ("b", 2)] and replaced == [False, False, True, True, True, True]
    worker.close()


def test_a_job_that_fails_costs_no_other(caplog):
    worker, done = Worker("test"), threading.Event()
    with caplog.at_level(logging.CRITICAL, "lift_flax"):
        worker.put("bad", lambda: 1 / 0)
        worker.put("good", done.set)
        assert done.wait(10)
    worker.close()
    _until(lambda: not any(thread.name == "test" for thread in threading.enumerate()))


def _until(true, patience: float = 10.0) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
