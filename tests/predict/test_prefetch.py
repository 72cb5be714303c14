"""Items computed ahead: in order, at most `size` ahead, errors in their place, nothing left behind."""

import contextlib
import threading
import time

import pytest

from lift_flax.predict.prefetch import prefetch


def _wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_items_come_in_order_and_all_that_are_ready_together():
    go_on = threading.Event()

    def items():
        yield from range(4)
        go_on.wait(10)
        yield 4

    ready = prefetch(items(), size=3)
    taken = next(ready)
    while len(taken) < 4:
        taken += next(ready)
    assert taken == [0, 1, 2, 3]
    go_on.set()
    assert next(ready) == [4] and list(ready) == []


def test_the_thread_computes_ahead_but_at_most_size():
    begun = []

    def items():
        for number in range(100):
            begun.append(number)
            yield number

    with contextlib.closing(prefetch(items(), size=3)) as ready:
        taken = next(ready)
        _wait_until(lambda: len(begun) == len(taken) + 4)  # three wait, and one has no room yet
        time.sleep(0.05)
        assert len(begun) == len(taken) + 4


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("the third")

    taken = []
    with pytest.raises(ValueError, match="the third"):
        for ready in prefetch(items(), size=8):
            taken += ready
    assert taken == [1, 2]


def test_closing_ends_the_thread_and_the_items():
    closed, threads = threading.Event(), threading.active_count()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ready = prefetch(items(), size=2)
    next(ready)
    assert threading.active_count() == threads + 1
    ready.close()
    assert threading.active_count() == threads
    del ready
    assert closed.wait(10)


def test_what_is_never_taken_starts_nothing():
    threads = threading.active_count()
    prefetch(iter([1]), size=2).close()
    assert threading.active_count() == threads
