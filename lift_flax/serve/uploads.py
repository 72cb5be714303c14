"""`POST /predict`: a video file in, what `lift-flax predict --json` prints out."""

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive

from lift_flax.errors import UserError, shown
from lift_flax.predict.output.lines import as_json
from lift_flax.serve.limits import Limits
from lift_flax.serve.reception import Reception
from lift_flax.video.decode import VideoError

_LOG = logging.getLogger(__name__)
_NAME = 100  # characters of a file's name that are shown again
_FIELDS = 4  # of a form, besides the file


async def predict(request: Request) -> JSONResponse:
    """Answers for the file in the multipart field `file`; with `timeline=yes` in the address, window by window."""
    reception: Reception = request.app.state.reception
    places: asyncio.Semaphore = request.app.state.uploads
    if places.locked():
        raise HTTPException(503, "other files are being read: try again in a minute", {"retry-after": "60"})
    async with places, contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(reception.limits.upload_seconds):
                file = await _file(request, reception.limits, stack)
        except TimeoutError:
            raise HTTPException(408, f"the file took more than {reception.limits.upload_seconds:g} s") from None
        except ClientDisconnect:
            raise HTTPException(400, "its sender left") from None
        name = shown(Path((file.filename or "video").replace("\\", "/")).name)[:_NAME] or "video"
        path = stack.enter_context(_path(file))
        timeline = request.query_params.get("timeline") == "yes"
        try:
            answer = await run_in_threadpool(
                reception.answering.uploaded, path, name, reception.limits.video, timeline=timeline
            )
        except VideoError as error:
            return JSONResponse({"video": name, "error": str(error)}, 422)
        except UserError:  # its process was killed, or there can be none
            _LOG.exception("an uploaded file could not be read")
            return JSONResponse({"video": name, "error": "the server could not read it"}, 500)
    return JSONResponse(as_json(answer))


async def _file(request: Request, limits: Limits, stack: contextlib.AsyncExitStack) -> UploadFile:
    """The file of a request, in a temporary file without a name.  Raises HTTPException where there is none."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "send a form (multipart/form-data) with the video in the field `file`")
    if int(request.headers.get("content-length") or 0) > limits.upload_bytes:
        raise HTTPException(413, _too_large(limits))
    limited = Request(request.scope, _limited(request.receive, limits))
    parser = MultiPartParser(limited.headers, limited.stream(), max_files=1, max_fields=_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form cannot be read ({error.message.lower().rstrip('.')})") from error
    stack.push_async_callback(form.close)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise HTTPException(400, "the form has no file in the field `file`")
    return file


def _limited(receive: Receive, limits: Limits) -> Receive:
    """`receive` that gives up on a body that is too large, or comes too slowly."""
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        try:
            message = await asyncio.wait_for(receive(), limits.head_seconds)
        except TimeoutError:
            raise HTTPException(408, f"nothing came for {limits.head_seconds:g} s") from None
        taken += len(message.get("body", b""))
        if taken > limits.upload_bytes:
            raise HTTPException(413, _too_large(limits))
        return message

    return receiving


def _too_large(limits: Limits) -> str:
    return f"the file is too large: at most {limits.upload_bytes / 2**20:.0f} MiB are taken"


@contextlib.contextmanager
def _path(file: UploadFile) -> Iterator[Path]:
    """Where another process finds the file for the block.

    Where the system shows open files as paths, it has no name, so nothing is left of it, however this process ends.
    """
    spooled = file.file
    assert isinstance(spooled, tempfile.SpooledTemporaryFile), "the form parser's"
    if os.path.isdir("/proc/self/fd"):
        spooled.rollover()
        yield Path(f"/proc/{os.getpid()}/fd/{spooled.fileno()}")
        return
    with tempfile.NamedTemporaryFile(prefix="lift_flax-") as copy:
        spooled.seek(0)
        shutil.copyfileobj(spooled, copy)
        copy.flush()
        yield Path(copy.name)
