"""Who may speak to the server: names that it goes by, pages that it served itself, and those who know the token.

A page of another site can make a browser send requests to this machine, and by DNS rebinding even under a name of its
own.  So the name in `Host` must be one of the server's, and where a browser says which page asks (`Origin`), it must be
the server's own.
"""

import ipaddress
import secrets
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PUBLIC = ("/", "/health")  # what needs no token, as all below /page/: nothing of the run, of frames, or of visitors
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Access:
    """Lets requests through, or refuses them, and adds the headers that bind a browser.

    Args:
      app: what is behind it.
      names: hosts that the server goes by, without port, in lower case.
      any_address: whether it goes by any number of a machine, too.
      token: that requests must hold; "" for none.
    """

    def __init__(self, app: ASGIApp, *, names: frozenset[str], any_address: bool, token: str):
        self._app, self._names, self._any_address, self._token = app, names, any_address, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})
        elif refused:
            status, reason = refused
            await JSONResponse({"error": reason}, status)(scope, receive, _with_headers(send))
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """(status, why) of a request that is refused."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._knows(_name(host)):
            return 421, "this server goes by another name: open the address that it printed"
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host.lower():
            return 403, "a page of another site may not speak to this server"
        public = scope["path"] in _PUBLIC or scope["path"].startswith("/page/")
        if self._token and not public and not self._has_token(scope, headers):
            return 401, "the token is missing or wrong: open the address that the server printed"
        return None

    def _knows(self, name: str) -> bool:
        return name in self._names or (self._any_address and is_address(name))

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            (given,) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[:1]
        return secrets.compare_digest(given.strip().encode(), self._token.encode())


def is_address(name: str) -> bool:
    """Whether a host is the number of a machine, which nobody can make lead elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """The name in a `Host`, without its port, in lower case."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _host_of(origin: str) -> str | None:
    """Name and port of an `Origin`; None where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
