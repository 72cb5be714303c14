"""The routes of the live server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from lift_flax.errors import UserError
from lift_flax.runs.package import reading
from lift_flax.serve.access import Access
from lift_flax.serve.programs import events, health, stream
from lift_flax.serve.reception import Reception
from lift_flax.serve.session import live
from lift_flax.serve.uploads import predict

PAGE = Path(str(resources.files("lift_flax.serve").joinpath("page")))


def make_app(reception: Reception, *, names: frozenset[str], any_address: bool, token: str) -> Starlette:
    """The server as an ASGI application.

    Args:
      reception: whom it serves with what.
      names, any_address, token: who may speak to it (`access.Access`).
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        reception.answering.prepare()
        if reception.source is not None:
            reception.source.start()
        yield
        reception.close()

    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/card", _card),
            Route("/health", health),
            Route("/events", events),
            Route("/stream", stream),
            Route("/predict", predict, methods=["POST"]),
            WebSocketRoute("/live", live),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(Access, names=names, any_address=any_address, token=token)],
        exception_handlers={HTTPException: _refused},
        lifespan=lifespan,
    )
    app.state.reception = reception
    app.state.uploads = asyncio.Semaphore(reception.limits.uploads)
    return app


async def _page(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def _card(request: Request) -> Response:
    """What the network can do, as the card of its package says."""
    trained = request.app.state.reception.answering.trained
    if not trained.packed:
        raise HTTPException(404, "this run has no card: packages have one")
    try:
        return PlainTextResponse(reading.card(trained.workdir))
    except UserError as error:
        raise HTTPException(404, "the card of this package is missing or damaged") from error


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "its handler"
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
