"""Computing items ahead of whoever takes them."""

import collections
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")

_PATIENCE = 2.0  # seconds that closing waits for the thread, which may be busy with a long item


def prefetch(items: Iterable[_Item], size: int) -> Generator[list[_Item], None, None]:
    """Computes `items` in a thread, up to `size` ahead, and yields lists of those that are ready, each at least one.

    Closing the generator ends the thread after the item that it is at.  An error in `items` is raised once the items
    before it are taken.

    >>> sum(prefetch(range(5), size=2), [])
    [0, 1, 2, 3, 4]
    """
    waiting: collections.deque[_Item] = collections.deque()
    changed = threading.Condition()
    errors: list[BaseException] = []
    closed = ended = False

    def fill() -> None:
        nonlocal ended
        try:
            for item in items:
                with changed:
                    changed.wait_for(lambda: closed or len(waiting) < size)
                    if closed:
                        return
                    waiting.append(item)
                    changed.notify()
        except BaseException as error:  # raised again where the items are taken
            errors.append(error)
        finally:
            with changed:
                ended = True
                changed.notify()

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or ended)
                ready = list(waiting)
                waiting.clear()
                changed.notify()
            if not ready:
                break
            yield ready
    finally:
        with changed:
            closed = True
            changed.notify()
        thread.join(_PATIENCE)
    if errors:
        raise errors[0]
