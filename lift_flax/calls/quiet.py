"""Keeps library calls from changing or using the logging of the process that makes them."""

import contextlib
import logging
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_inside = 0  # calls of all threads that are under way
_before: tuple[int, list[logging.Handler]] = (0, [])  # what the first of them found


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hides absl's warnings, and restores the process's logging when the last of several threads leaves.

    Orbax and grain log through absl: what matters in it they raise as an error too.  Its first message, even a hidden
    one, adds a handler to the root logger; that handler is removed.
    """
    global _inside, _before
    import absl.logging  # makes the logger, which is of a class of its own

    absl, root = logging.getLogger("absl"), logging.getLogger()
    with _lock:
        if not _inside:
            _before = absl.level, list(root.handlers)
        _inside += 1
        absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                level, handlers = _before
                absl.setLevel(level)
                for handler in [handler for handler in root.handlers if handler not in handlers]:
                    root.removeHandler(handler)
