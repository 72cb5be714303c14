"""One run on many processes: how they find each other, agree, and stop together.

JAX's own runtime is the engine: its coordinator on process 0, its heartbeats, its notice of SIGTERM.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from lift_flax.errors import UserError, told_of_disk

_MESSAGE_BYTES = 4096  # of an error that processes tell each other
_LEAVE_SECONDS = 10  # that a process which ends waits for the others


def join(
    coordinator: str | None, num_processes: int | None, process_id: int | None, *, search: bool, heartbeat_seconds: int
) -> None:
    """Joins this process to the others of its run; does nothing where it is alone.  Call before any use of a device.

    Args:
      coordinator: HOST:PORT of process 0; None finds it where a cluster tells: a SLURM step, an indexed Kubernetes job,
        a TPU slice on GKE.
      num_processes, process_id: with `coordinator`.
      search: look for a cluster although nothing in the environment tells of one (Cloud TPU VMs).
      heartbeat_seconds: a process that is silent for so long is given up, and with it the run.

    Raises:
      UserError: a part of the three is missing, no cluster is found, or the others do not come.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(given) and not all(given):
        raise UserError("--coordinator, --num_processes and --process_id belong together: give all three or none")
    if all(given) and not (0 <= process_id < num_processes and ":" in coordinator):
        raise UserError("--coordinator is HOST:PORT, and --process_id lies between 0 and --num_processes - 1")
    if not (any(given) or search or _cluster_tells()):
        return
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=_LEAVE_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot join the processes of this run ({reason}): start all of them, and see that the coordinator's port "
            "can be reached from each"
        ) from error


def _cluster_tells() -> bool:
    """Whether the environment says that this process is one of several."""
    environment = os.environ
    return (
        int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
        or ("KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment)
    )


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def together(work: Callable):
    """Runs `work` on every process and returns what it returned on this one.

    Raises:
      UserError: it failed with one on any process; then on all of them, so that none waits for another in vain.
    """
    if jax.process_count() == 1:
        return work()
    result, message = None, ""
    try:
        result = work()
    except UserError as error:
        message = str(error)
    told = np.zeros(_MESSAGE_BYTES, np.uint8)
    text = np.frombuffer(message.encode()[:_MESSAGE_BYTES], np.uint8)
    told[: len(text)] = text
    for index, other in enumerate(multihost_utils.process_allgather(told)):  # [processes, bytes]
        if other.any():
            text = bytes(other[other > 0]).decode(errors="ignore")
            raise UserError(text if index == jax.process_index() else f"{text} (process {index})")
    return result


def on_first(work: Callable[[], None]) -> None:
    """Runs `work` on the first process while the others wait for it; its UserError is raised on all."""
    together(lambda: work() if is_first() else None)


def from_first(value: int) -> int:
    """What the first process says."""
    return value if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int64(value)))


def leave_after(work: Callable[[], None]) -> NoReturn:
    """Does `work` as one of several processes and ends this one: 0 done, 2 on UserError, 1 on anything else.

    An ordinary exit waits for the others at a barrier; where they wait for this one elsewhere, nobody would leave.
    """
    code = 1
    try:
        work()
        code = 0
    except UserError as error:
        code = 2
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        if told := told_of_disk(error):
            code = 2
            print(f"error: {told}", file=sys.stderr)
        else:
            traceback.print_exc()
    except jax.errors.JaxRuntimeError as error:
        traceback.print_exc()
        reason = str(error).splitlines()[0]
        print(f"error: {reason}; if another process has died, start all again with the same command", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(Exception):
        jax.distributed.shutdown()  # waits for the others, for _LEAVE_SECONDS at most
    os._exit(code)


class Stopped(Exception):
    """The run was asked to stop, and has saved what it had.  The message says where."""


class StopSignal:
    """Whether SIGTERM has come, to any process of the run; all see it at the same step.

    With one process `listen` must have been called; with many JAX listens on each from `join` on.
    """

    def __init__(self):
        self._come, self._steps = False, 0

    def listen(self) -> None:
        """From now on SIGTERM no longer ends this process by itself."""
        if jax.process_count() == 1:
            signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_) -> None:
        self._come = True

    def at_this_step(self) -> bool:
        """Call once after each step on every process."""
        self._steps += 1
        if jax.process_count() == 1:
            return self._come
        return multihost_utils.reached_preemption_sync_point(self._steps)
