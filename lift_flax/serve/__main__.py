"""Serves a page that shows what a trained run answers, live, for a camera; and the same for programs.

    lift-flax serve                                                 # the network that comes with lift_flax
    lift-flax serve --workdir=RUN                                   # a run of yours, the camera of the browser
    lift-flax serve --workdir=RUN --source=rtsp://camera.local/1    # or /dev/video0, or a file: one of this machine
    ssh -L 8008:localhost:8008 MACHINE                              # then http://localhost:8008 is the page of MACHINE

The page is for this machine alone unless --host says otherwise.  Then visitors need the token that is printed.
"""

import argparse
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

from lift_flax import command_line, compiling, errors
from lift_flax.command_line import say
from lift_flax.errors import UserError, shown, system_reason
from lift_flax.runs.places import WORKDIR
from lift_flax.video.scaling import FITS

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ANY = ("0.0.0.0", "::")
_BACKLOG = 64  # connections that wait
_GRACE = 1  # s, that connections get to close in the end


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(argv)
    _check(args)
    local = args.host in _LOOPBACK
    token = "" if local or args.no_token else secrets.token_urlsafe(24)
    with _listening(args.host, args.port) as listener:
        with _ended_by_interrupts():
            server = _server(args, token)
        _say_where(args, listener.getsockname()[1], token)
        with contextlib.suppress(KeyboardInterrupt):  # it has ended by then
            server.run(sockets=[listener])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # at once: threads that compute may crash in an ordinary exit


@contextlib.contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """Ctrl-C ends the process at once in the block: nothing is lost yet, and JAX's callbacks may swallow exceptions."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say_where(args: argparse.Namespace, port: int, token: str) -> None:
    """Prints the address, and what its visitors should know."""
    host = socket.gethostname() if args.host in _ANY else f"[{args.host}]" if ":" in args.host else args.host
    address = f"{'https' if args.certfile else 'http'}://{host}:{port}/"
    say(f"{address}{f'?token={token}' if token else ''}   (Ctrl-C ends it)")
    if args.host in _LOOPBACK:
        return
    if args.no_token:
        say("warning: --no-token lets anybody in who reaches this address")
    if not args.certfile:
        say(
            "without --certfile browsers give this page no camera, and lines can be listened to: use https, or "
            f"`ssh -L {port}:localhost:{port} {socket.gethostname()}` and a server without --host"
        )


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, "lift-flax serve")
    parser.add_argument("--workdir", type=Path, help=f"{WORKDIR} (default)")
    parser.add_argument(
        "--source",
        default="browser",
        help="where frames come from: each visitor's browser (default), a device as /dev/video0, an address as "
        "rtsp://..., or a file, which plays over and over",
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="crop",
        help="how frames become squares: their middle (default); all of it, between black borders; all of it, squeezed",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8008, help="port to listen on (default 8008; 0 takes a free one)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="a name that visitors reach this machine by, beside its own and its address; may be repeated",
    )
    parser.add_argument("--no-token", action="store_true", help="let anybody in who reaches the address")
    parser.add_argument("--certfile", type=Path, help="certificate, for https")
    parser.add_argument("--keyfile", type=Path, help="its key")
    return parser


def _check(args: argparse.Namespace) -> None:
    if not 0 <= args.port < 2**16:
        raise UserError(f"--port={args.port}: a port is a number from 0 to {2**16 - 1}")
    if bool(args.certfile) != bool(args.keyfile):
        raise UserError("--certfile and --keyfile belong together: give both")
    try:
        import python_multipart  # noqa: F401  # pyright: ignore[reportUnusedImport]  # of an extra
        import starlette  # noqa: F401  # pyright: ignore[reportUnusedImport]  # of an extra
        import uvicorn  # noqa: F401  # pyright: ignore[reportUnusedImport]  # of an extra
        import websockets  # noqa: F401  # pyright: ignore[reportUnusedImport]  # of an extra
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'lift_flax[serve]'") from error
    if args.certfile:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(args.certfile, args.keyfile, _no_password)
        except (OSError, ssl.SSLError) as error:
            raise UserError(
                f"{args.certfile} and {args.keyfile} are no certificate with its key ({error.strerror or error}): "
                "give two files in PEM format"
            ) from error


def _no_password() -> str:
    raise UserError("--keyfile is encrypted: give one without a password, as `openssl pkey -in KEY -out PLAIN` writes")


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens: who connects early waits.  Raises UserError where the address is taken or unknown."""
    try:
        ((family, *_, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except UnicodeError as error:
        raise UserError(f"--host={shown(host)} is no name of a machine: choose another") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else system_reason(error)
        raise UserError(f"cannot listen on {host}:{port} ({reason}): choose another --host or --port") from error


def _server(args: argparse.Namespace, token: str):
    """The uvicorn server of a run; its networks compile once it has begun."""
    import uvicorn

    from lift_flax.runs.trained import open_or_shipped
    from lift_flax.serve.app import make_app
    from lift_flax.serve.connections import protocol
    from lift_flax.serve.limits import Limits
    from lift_flax.serve.reception import Reception
    from lift_flax.serve.visitors.answering import Answering
    from lift_flax.serve.visitors.camera_feed import CameraFeed
    from lift_flax.serve.visitors.memory import share_pools

    share_pools()
    compiling.keep_compiled_programs()
    local, limits = args.host in _LOOPBACK, Limits()
    answering = Answering(open_or_shipped(args.workdir), fit=args.fit)
    source = None if args.source == "browser" else CameraFeed(args.source)
    reception = Reception(answering, limits, source, lossless=local)
    if source is not None:
        source.tell(reception.source_changed)
    names = frozenset(name.lower() for name in (*args.name, *_own_names(args.host)))
    app = make_app(reception, names=names, any_address=not local, token=token)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol(limits),
            ws="websockets-sansio",
            ws_max_size=limits.message_bytes,
            ws_per_message_deflate=False,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
            ssl_certfile=args.certfile,
            ssl_keyfile=args.keyfile,
        )
    )


def _own_names(host: str) -> tuple[str, ...]:
    if host in _LOOPBACK:
        return ("localhost", "127.0.0.1", "[::1]")
    own = socket.gethostname()
    return (host, own, f"{own}.local", socket.getfqdn(), "localhost")


if __name__ == "__main__":
    errors.run_cli(main)
