"""What programs read: answers as server-sent events, frames with their label as MJPEG, and whether the server is well.

They follow the camera of the server.  Where frames come from browsers there is nothing to follow: what one visitor
films is not shown to others.
"""

import asyncio
import contextlib
import json
import time as clock
from collections.abc import AsyncIterator, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from lift_flax.serve import pictures
from lift_flax.serve.outbox import Outbox
from lift_flax.serve.reception import Reception
from lift_flax.serve.session import answer_json
from lift_flax.serve.visitors.visitor import LiveAnswer

_SILENCE = 15.0  # s, after which a line says that the connection is alive
_BOUNDARY = "frame"


async def health(request: Request) -> JSONResponse:
    """Whether the server answers; of the camera, whether it runs."""
    source = request.app.state.reception.source
    return JSONResponse({"status": "ok"} | ({"source": source.state.name} if source else {}))


async def events(request: Request) -> StreamingResponse:
    """Each answer as JSON, in one event."""
    reception = _with_source(request)
    classes = reception.answering.trained.classes

    def event(answer: LiveAnswer) -> bytes:
        found = answer_json(answer)
        shares = dict(zip(classes, found.pop("probabilities"), strict=True))
        return f"data: {json.dumps(found | {'probabilities': shares})}\n\n".encode()

    return StreamingResponse(_followed(reception, event, b": still here\n\n"), media_type="text/event-stream")


async def stream(request: Request) -> StreamingResponse:
    """The last frame of each window, with its class below it."""

    def part(answer: LiveAnswer) -> bytes:
        found = answer.answer
        data = pictures.jpeg(pictures.labelled(answer.filmed, found.label, found.probability))
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data + b"\r\n"

    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
    return StreamingResponse(_followed(_with_source(request), part, b""), media_type=media_type)


def _with_source(request: Request) -> Reception:
    reception: Reception = request.app.state.reception
    if reception.source is None:
        raise HTTPException(409, "frames come from browsers here: start the server with --source to follow a camera")
    if not reception.has_place():
        raise HTTPException(503, f"all {reception.limits.visitors} places are taken: try again later")
    return reception


async def _followed(reception: Reception, written: Callable[[LiveAnswer], bytes], alive: bytes) -> AsyncIterator[bytes]:
    """What `written` makes of each answer, until the reader leaves; `alive` where none has come for a while."""
    if not reception.has_place():  # others came in between
        return
    outbox = Outbox()
    visitor = reception.visitor(lambda answer: outbox.put_answer(written(answer)), lambda name, reason: None)
    until = clock.monotonic() + 60 * reception.limits.minutes
    try:
        while clock.monotonic() < until:
            try:
                message = await asyncio.wait_for(outbox.take(), _SILENCE)
            except TimeoutError:
                message = alive
            if message:
                assert isinstance(message, bytes), "answers are"
                yield message
    finally:
        with contextlib.suppress(RuntimeError):
            reception.leave(visitor)
