"""The socket of one visitor: frames and settings come in, answers go out."""

import asyncio
import contextlib
import json
import time as clock
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from lift_flax.errors import UserError
from lift_flax.serve import messages, pictures
from lift_flax.serve.outbox import Outbox
from lift_flax.serve.reception import Reception
from lift_flax.serve.visitors.camera_feed import FeedState
from lift_flax.serve.visitors.visitor import LiveAnswer, Offered

_FAREWELL = 5.0  # s to take it
_BROKEN, _FULL, _LONG = 1008, 1013, 1001  # codes of a socket that is closed: a mistake, no room, its time is over


async def live(socket: WebSocket) -> None:
    """Serves a visitor until it leaves, breaks the rules, or its time is over."""
    reception: Reception = socket.app.state.reception
    await socket.accept()
    if not reception.has_place():
        await _end(socket, _FULL, f"all {reception.limits.visitors} places are taken: try again later")
        return
    session, ending = _Session(socket, reception), None
    try:
        async with asyncio.timeout(60 * reception.limits.minutes):
            await session.run()
    except TimeoutError:
        ending = _LONG, f"{reception.limits.minutes:g} minutes are over: open the page again to go on"
    except UserError as error:
        ending = _BROKEN, str(error)
    except WebSocketDisconnect:  # it has left before the greeting
        pass
    finally:
        session.close()  # first, because a visitor who reads nothing would hold its place
    if ending:
        await _end(socket, *ending)


async def _end(socket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):  # it has left already, or reads nothing
        async with asyncio.timeout(_FAREWELL):
            await socket.send_text(json.dumps({"type": "error", "reason": reason}))
            await socket.close(code, reason[:120])


class _Session:
    def __init__(self, socket: WebSocket, reception: Reception):
        self._socket, self._reception = socket, reception
        self._outbox = Outbox()
        self._lossless = reception.lossless
        self.visitor = reception.visitor(self._deliver, self._report)
        self._unsubscribe = reception.watch(self._source_changed)
        self._frames = 0.0  # of the last second, with those of before fading
        self._since = clock.monotonic()

    def close(self) -> None:
        self._unsubscribe()
        self._reception.leave(self.visitor)

    async def run(self) -> None:
        """Sends and receives until the visitor leaves.  Raises UserError where it breaks the rules."""
        await self._socket.send_text(json.dumps(self._reception.greeting()))
        tasks = [asyncio.create_task(job) for job in (self._send(), self._receive())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # OSError: a TimeoutError, too
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self) -> None:
        limit = self._reception.limits.send_seconds
        while True:
            message = await self._outbox.take()
            async with asyncio.timeout(limit):
                if isinstance(message, str):
                    await self._socket.send_text(message)
                else:
                    await self._socket.send_bytes(message)

    async def _receive(self) -> None:
        limits = self._reception.limits
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (data := message.get("bytes")) is not None:
                frame = messages.sent_frame(data, limits)
                if self._reception.source is not None:
                    raise UserError("frames come from the server's camera here: send none")
                if self._in_time():
                    self.visitor.offer(Offered(frame.time, frame.rgb))
            else:
                self._ask(messages.request(message.get("text") or "", limits))

    def _in_time(self) -> bool:
        """Whether a frame comes within the rate that is allowed; one that does not is dropped."""
        now = clock.monotonic()
        self._frames = max(self._frames - (now - self._since) * self._reception.limits.frames_per_second, 0.0)
        self._since = now
        if self._frames >= self._reception.limits.frames_per_second:
            self.visitor.counts.received += 1
            self.visitor.counts.dropped += 1
            return False
        self._frames += 1
        return True

    def _ask(self, wanted: dict[str, Any]) -> None:
        kind = wanted.get("type")
        if kind == "settings":
            self.visitor.choose(messages.settings(wanted, self._reception.answering.networks))
        elif kind == "why":
            if not self.visitor.explain(self._explained):
                self._say({"type": "why", "error": "there is no answer yet to explain"})
        else:
            raise UserError('a message of an unknown type: send frames, {"type": "settings"} or {"type": "why"}')

    def _say(self, message: dict[str, Any]) -> None:
        self._outbox.put(json.dumps(message))

    def _report(self, name: str, reason: str) -> None:
        self._say({"type": "state", "state": name, "reason": reason})

    def _source_changed(self, state: FeedState) -> None:
        self._say({"type": "source", "state": state.name, "reason": state.reason, "again_in": state.again_in})

    def _explained(self, title: str, png: bytes) -> None:
        if png:
            self._outbox.put(messages.packed({"type": "why", "title": title, "format": "png"}, png))
        else:
            self._say({"type": "why", "error": title})

    def _deliver(self, answer: LiveAnswer) -> None:
        shown = pictures.seen(answer, self._reception.answering.trained.config.model.luminous)
        heads, payloads = pictures.described(shown, lossless=self._lossless)
        if self._reception.source is not None or answer.settings.stops:  # else the browser shows it already
            head, payload = pictures.described({"filmed": answer.filmed}, lossless=False)
            heads, payloads = heads + head, payloads + payload
        head = {"type": "answer", **answer_json(answer), "counts": self.visitor.counts.as_json(), "pictures": heads}
        self._outbox.put_answer(messages.packed(head, *payloads))


def answer_json(answer: LiveAnswer) -> dict[str, Any]:
    """An answer for pages and programs; probabilities in the order of the classes."""
    found = answer.answer
    return {
        "index": found.index,
        "time": found.time,
        "label": found.label,
        "probability": round(found.probability, 6),
        "sure": found.sure,
        "probabilities": [round(float(share), 6) for share in found.probabilities],
        "network": answer.settings.network,
        "stops": answer.settings.stops,
        "latency_ms": round(answer.latency_ms, 1),
    }
