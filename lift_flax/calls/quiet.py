"""Keeps library calls from changing or using the logging of the process that makes them."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hides absl's warnings, and restores the process's logging at the end.

    Orbax and grain log through absl: what matters in it they raise as an error too.  Its first message, even a hidden
    one, adds a handler to the root logger; that handler is removed.
    """
    import absl.logging  # makes the logger, which is of a class of its own

    absl, root = logging.getLogger("absl"), logging.getLogger()
    level, handlers = absl.level, list(root.handlers)
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.setLevel(level)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
