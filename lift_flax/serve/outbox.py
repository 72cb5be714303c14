"""What waits to be sent to a visitor: of answers the newest alone, so that a slow line delays none."""

import asyncio
import collections

_MOST = 32  # messages of other kinds; those of a visitor who takes none are lost


class Outbox:
    """Messages from other threads for one coroutine that sends them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._answer: bytes | None = None
        self._others: collections.deque[bytes | str] = collections.deque(maxlen=_MOST)

    def put(self, message: bytes | str) -> None:
        """Adds a message that is to be sent whatever comes after it; from any thread."""
        self._on_loop(lambda: self._others.append(message))

    def put_answer(self, message: bytes) -> None:
        """Adds an answer, in place of one that is not sent yet; from any thread."""

        def replace() -> None:
            self._answer = message

        self._on_loop(replace)

    async def take(self) -> bytes | str:
        """Waits for the next message."""
        while not self._others and self._answer is None:
            self._filled.clear()
            await self._filled.wait()
        if self._others:
            return self._others.popleft()
        message, self._answer = self._answer, None
        assert message is not None, "waited for"
        return message

    def _on_loop(self, change) -> None:
        def changed() -> None:
            change()
            self._filled.set()

        try:
            self._loop.call_soon_threadsafe(changed)
        except RuntimeError:  # the server has ended
            pass
