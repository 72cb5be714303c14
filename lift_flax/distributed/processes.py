"""One run on many processes: how they find each other, fail together and stop together.

JAX's own runtime does the work: its coordinator on process 0, its heartbeats, its notice of SIGTERM.
"""

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from lift_flax.errors import UserError, file_system_message

_MESSAGE_BYTES = 4096  # of an error that one process sends to the others
_COME_SECONDS = 300  # a process waits this long for the first one to answer
_LEAVE_SECONDS = 60  # a process that has done its work waits this long for the others
_LAST_SECONDS = 5  # the first process stays this long after an error of its own: the others need it to end in order


def join(
    coordinator: str | None, num_processes: int | None, process_id: int | None, *, search: bool, heartbeat_seconds: int
) -> None:
    """Joins this process to the others of its run; does nothing where it is alone.  Call before any use of a device.

    Args:
      coordinator: HOST:PORT of process 0; None asks the cluster: a SLURM step, an indexed Kubernetes job, a TPU slice
        on GKE.
      num_processes, process_id: with `coordinator`.
      search: look for a cluster although the environment names none (Cloud TPU VMs).
      heartbeat_seconds: the run ends where a process is silent for so long.

    Raises:
      UserError: a part of the three is missing, no cluster is found, or the others do not come.
    """
    named = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(named) and not all(named):
        raise UserError("--coordinator, --num_processes and --process_id belong together: give all three or none")
    if not (any(named) or search or _in_cluster()):
        return
    if coordinator is not None and num_processes is not None and process_id is not None:
        host, _, port = coordinator.rpartition(":")
        if not (0 <= process_id < num_processes and host and port.isdigit() and int(port) < 2**16):
            raise UserError("--coordinator is HOST:PORT, and --process_id lies between 0 and --num_processes - 1")
        print(f"process {process_id} of {num_processes} waits for the others at {coordinator}", file=sys.stderr)
        _check_port(host.strip("[]"), int(port), process_id)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=_LEAVE_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"cannot join the processes of this run ({str(error).splitlines()[0]}): give --coordinator, "
            "--num_processes and --process_id (an indexed Kubernetes job needs `pip install kubernetes` without them)"
        ) from error


def _check_port(host: str, port: int, process_id: int) -> None:
    """Raises UserError where the port is taken or nobody answers: JAX itself would abort."""
    if process_id == 0:
        with socket.socket() as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                own.bind(("", port))
            except OSError as error:
                raise UserError(f"--coordinator: port {port} is taken on this machine: choose another") from error
        return
    deadline = time.monotonic() + _COME_SECONDS
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"nobody answers at --coordinator={host}:{port} ({error}): start process 0 there, and see that the "
                    "port can be reached"
                ) from error
            time.sleep(0.2)


def _in_cluster() -> bool:
    """Whether the environment says that this process is one of several."""
    environment = os.environ
    return (
        environment.get("SLURM_STEP_NUM_TASKS", "1") not in ("", "0", "1")
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
        or ("KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment)
    )


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


class FailedTogether(UserError):
    """An error that every process of the run raises at the same place."""


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """Lets all processes leave its block well, or all with an error; every process runs the block.

    So no process waits in vain for another that has failed.  What only the first one does stands under `is_first()`
    within the block; the others wait for it at its end.

    Raises:
      FailedTogether: a UserError or an error of the file system on any process; then on all of them.
      Exception: any other, on the process where it happened; there FailedTogether on the others.
    """
    if jax.process_count() == 1:
        yield
        return
    message, bug = "", None
    try:
        yield
    except UserError as error:
        message = str(error)
    except Exception as error:
        readable = file_system_message(error) if isinstance(error, OSError) else None
        message, bug = readable or f"{type(error).__name__}: {error}", None if readable else error
    failed = next(((index, text) for index, text in enumerate(_from_all(message)) if text), None)
    if failed and bug:
        raise bug
    if failed:
        index, text = failed
        raise FailedTogether(text if index == jax.process_index() else f"{text} (process {index})")


def _from_all(message: str) -> list[str]:
    """The message of every process, cut off at _MESSAGE_BYTES."""
    own = np.zeros(_MESSAGE_BYTES, np.uint8)
    text = np.frombuffer(message.encode()[:_MESSAGE_BYTES], np.uint8)
    own[: len(text)] = text
    everyone = multihost_utils.process_allgather(own)  # [processes, bytes]
    return [bytes(row[row > 0]).decode(errors="ignore") for row in everyone]


def from_first(value: int) -> int:
    """The `value` of the first process."""
    return value if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int64(value)))


def array_from_first(values: np.ndarray) -> np.ndarray:
    """The array of the first process, whose shape all have."""
    return values if jax.process_count() == 1 else np.asarray(multihost_utils.broadcast_one_to_all(values))


def leave_after(work: Callable[[], None]) -> NoReturn:
    """Does `work` as one of several processes, then ends this one with 0, 2 on the user's mistake, or 1 on a bug.

    An ordinary exit waits for the others at a barrier, and aborts where they do not come.  So this process waits only
    after what all do alike.  After an error of its own it leaves at once, and the others when they miss it.
    """
    code, alike = 1, False
    try:
        work()
        code, alike = 0, True
    except UserError as error:
        code, alike = 2, isinstance(error, FailedTogether)
        print(f"error: {error}", file=sys.stderr)
    except jax.errors.JaxRuntimeError as error:
        traceback.print_exc()
        reason = str(error).splitlines()[0]
        print(f"error: {reason}; if another process has died, start all again with the same command", file=sys.stderr)
    except OSError as error:
        if message := file_system_message(error):
            code = 2
            print(f"error: {message}", file=sys.stderr)
        else:
            traceback.print_exc()
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    if alike:
        with contextlib.suppress(Exception):
            jax.distributed.shutdown()  # waits for the others, for _LEAVE_SECONDS at most
    else:
        with contextlib.suppress(Exception):  # there may be no device to ask
            time.sleep(_LAST_SECONDS if is_first() else 0)
    os._exit(code)


class Stopped(Exception):
    """The run was asked to stop, and has saved its work.  The message says where it stands."""


class StopSignal:
    """Whether SIGTERM has come to any process of the run; all see it at the same step.

    One process alone must call `listen`; with several JAX listens on each from `join` on.
    """

    def __init__(self):
        self._come, self._steps = False, 0

    def listen(self) -> None:
        """Notes SIGTERM from now on, instead of ending at once."""
        if jax.process_count() == 1:
            signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_) -> None:
        self._come = True

    def at_this_step(self) -> bool:
        """Whether to stop after this step; every process calls this once for each step."""
        self._steps += 1
        if jax.process_count() == 1:
            return self._come
        return multihost_utils.reached_preemption_sync_point(self._steps)
