"""Runs a function on many files in worker processes: a file that hangs or crashes one loses only its own result."""

import concurrent.futures
import contextlib
import errno
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from typing import Any

from pebble import ProcessExpired, ProcessPool

from lift_flax.errors import UserError, system_reason
from lift_flax.video.decode import VideoError
from lift_flax.worker_process import end_with_parent


def run_each(
    function: Callable[..., Any], tasks: Mapping[str, Sequence[Any]], *, workers: int, time_limit: int | float
) -> Iterator[tuple[str, Any | VideoError]]:
    """Yields (key, result) of `function(*tasks[key])` for each task, as they finish.

    Args:
      function: runs in a worker process, so it can be pickled.
      tasks: arguments by key.
      workers: number of processes.
      time_limit: seconds for one task.

    Yields:
      The key of a task, and its result.  That is a VideoError if the function raised one, took longer than
      `time_limit`, or ended its process.

    Raises:
      UserError: a process was killed, most likely for lack of memory; or none can be started.
    """
    if not tasks:
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPool(
        min(workers, len(tasks)),
        context=context,  # pyright: ignore[reportArgumentType]  # pebble names Connection, on Windows it is another
        initializer=_start_worker,
    )
    try:
        futures: dict[concurrent.futures.Future, str] = {}
        with _starting(), _without_ctrl_c():
            for key, arguments in tasks.items():
                futures[pool.schedule(function, args=list(arguments), timeout=time_limit)] = key
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], _result(future, futures[future], time_limit)
        pool.close()
    finally:
        pool.stop()
        pool.join()


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Turns the lack of what processes share, semaphores in a folder of the system, into a UserError."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno not in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOSYS):
            raise
        raise UserError(
            f"worker processes have no shared memory (/dev/shm: {system_reason(error)}); give it some (docker run "
            "--shm-size=1g)"
        ) from error


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Blocks Ctrl-C in what starts here, and makes one that comes meanwhile wait for the end.

    Workers inherit the block, before they can ignore anything, and so do those that pebble's threads start later.
    """
    resource_tracker.ensure_running()  # its start would lift the block
    came: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # no other may set handlers, or is interrupted
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if in_main else None
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if in_main:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        for number in came[:1]:
            signal.raise_signal(number)


def _start_worker() -> None:
    """Prepares a worker process: it leaves Ctrl-C to its parent and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _result(future: concurrent.futures.Future, key: str, time_limit: int | float) -> Any | VideoError:
    try:
        return future.result()
    except VideoError as error:
        return error
    except TimeoutError:
        return VideoError(f"too slow: not read in {time_limit:g} s")
    except ProcessExpired as error:
        if error.exitcode == -signal.SIGKILL:
            raise UserError(
                f"the process at work on {key} was killed, perhaps for lack of memory; run the same command again with "
                "fewer --workers, or without that file (what is done is kept)"
            ) from error
        return VideoError(f"crashes the decoder (exit code {error.exitcode})")
