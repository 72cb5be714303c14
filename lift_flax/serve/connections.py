"""Connections that send no request, or send it too slowly, are hung up on; so are more than are allowed."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from lift_flax.serve.limits import Limits


def protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's own protocol of HTTP, with these limits: it has no others for what comes before a request."""

    class _Limited(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
                return
            self._await_head()

        def on_response_complete(self) -> None:
            self._await_head()  # of the next request
            super().on_response_complete()

        def _await_head(self) -> None:
            self._end_deadline()
            self._deadline = self.loop.call_later(limits.head_seconds, self._hang_up)

        def _hang_up(self) -> None:
            if self.cycle is None or self.cycle.response_complete:  # no request has come whole since
                self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_deadline()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event) -> None:
            self._end_deadline()
            super().handle_websocket_upgrade(event)

        def _end_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()

    return _Limited
