"""A thread that several visitors share: for each it does the newest job only, in turn."""

import logging
import threading
from collections.abc import Callable, Hashable

_LOG = logging.getLogger(__name__)


class Worker:
    """Does jobs one after another; whoever gives it a second one before the first is begun has replaced that one.

    Owners are served in the order in which they came to have a job, so none waits longer than one job of each other.
    """

    def __init__(self, name: str):
        self._changed = threading.Condition()
        self._jobs: dict[Hashable, Callable[[], object]] = {}  # in the order in which owners came
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, owner: Hashable, job: Callable[[], object]) -> bool:
        """Gives a job; whether it replaces one that was not begun."""
        with self._changed:
            replaces = owner in self._jobs
            if not self._closed:
                self._jobs[owner] = job
            self._changed.notify()
        return replaces

    def drop(self, owner: Hashable) -> None:
        """Forgets the job of an owner."""
        with self._changed:
            self._jobs.pop(owner, None)

    def close(self) -> None:
        """Ends the thread after the job that it is at; waits for nothing."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                job = self._jobs.pop(next(iter(self._jobs)))
            try:
                job()
            except Exception:  # the other visitors' jobs go on
                _LOG.exception("a job of the live page failed")
            del job  # and what it holds, while this thread waits
