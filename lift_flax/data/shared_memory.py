"""The shared memory that loader processes hand batches over in: whether it is large enough, and what to do if not.

Grain copies every batch into a file of /dev/shm.  A container has 64 MB there by default, and a process that writes
beyond what is free is killed by the system (a bus error).
"""

import contextlib
import errno
import math
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError, system_reason

PLACE = Path("/dev/shm")
# Of a busy device, for each process: two batches wait in its queue, two are taken from it, one is made, one handed on.
_BATCHES_PER_WORKER = 6
# What the making of a semaphore or of a block of shared memory ends with; reading records ends with none of them.
_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOSYS, errno.ENOENT, errno.EACCES})


def check_room(batch_bytes: int, batches: int, workers: int) -> None:
    """Checks that the batches which wait at any time fit into what is free.

    Args:
      batch_bytes: of one batch.
      batches: how many there are in all.
      workers: number of loader processes.

    Raises:
      UserError: they do not fit.
    """
    if not workers or not PLACE.is_dir():  # systems without this folder have no such bound
        return
    needed = min(batches, workers * _BATCHES_PER_WORKER + 1) * batch_bytes
    if _free() < needed:
        raise UserError(
            f"shared memory is too small: {PLACE} has {_size(_free())} free, and {workers} loader processes need "
            f"{_size(float(needed))} for batches of {_size(float(batch_bytes))}; {_remedy(needed)}"
        )


@contextlib.contextmanager
def loader_faults() -> Iterator[None]:
    """Turns the end of a loader process, or its failing start, into a UserError that says what to set."""
    try:
        yield
    except RuntimeError as error:
        code = re.search(r"exit code (-?\d+)", str(error))  # of "Worker process was terminated unexpectedly with ..."
        reason = _reason(int(code[1])) if code else None
        if reason is None:
            raise
        raise UserError(reason) from error
    except OSError as error:
        if error.errno not in _FAULTS or (error.filename and not str(error.filename).startswith(str(PLACE))):
            raise
        raise UserError(
            f"the loader processes have no shared memory ({PLACE}: {system_reason(error)}); {_remedy()}"
        ) from error


def _reason(code: int) -> str | None:
    if code == -signal.SIGBUS:
        free = f", which has {_size(_free())} free" if PLACE.is_dir() else ""
        return f"a loader process died: shared memory is full ({PLACE}{free}); {_remedy()}"
    if code == -signal.SIGKILL:
        return (
            "a loader process was killed, perhaps for lack of memory: set a smaller --config.data.workers or "
            "--config.train.batch_size"
        )
    return None


def _remedy(needed: int = 2**30) -> str:
    size = math.ceil(needed / 2**30)
    return (
        f"give it {size} GiB (docker run --shm-size={size}g), or set --config.data.workers=0 (for evaluate: a smaller "
        "--batch-size)"
    )


def _free() -> float:
    disk = os.statvfs(PLACE)
    return float(disk.f_bavail * disk.f_frsize) if disk.f_blocks else math.inf  # without blocks it has no bound


def _size(count: float) -> str:
    return f"{count / 2**20:,.1f} MiB"
