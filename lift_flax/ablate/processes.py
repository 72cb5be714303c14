"""The processes that an ablation starts, one after another: each ends with the command that started it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError


def call(command: list[str], log: Path | None) -> None:
    """Runs a process to its end; an interrupt of this process ends it first.

    Args:
      log: file that its output is appended to; None shows it.
    Raises:
      UserError: its exit code is not 0; with the last line of its log.
      KeyboardInterrupt: it was stopped and has saved what it reached.
    """
    started = time.time()
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("a")) if log else None
        environment = {"PYTHONUNBUFFERED": "1", **os.environ}
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT if log else None, env=environment)
        stack.callback(_end, process)
        code = process.wait()
    if code == 0 and log and "the same command continues" in _last_line(log) and log.stat().st_mtime >= started:
        raise KeyboardInterrupt
    if code:
        last = f": {_last_line(log)} (all of it: {log})" if log else ""
        raise UserError(f"`{' '.join(command[1:4])} ...` ended with code {code}{last}")


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing was written"


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""

    def stop(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
