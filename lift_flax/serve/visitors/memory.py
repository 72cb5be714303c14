"""Keeps the server as small as it was before its visitors came: Python and the C library keep freed memory otherwise.

Both functions ask glibc; with another C library they do what Python can do.
"""

import ctypes
import gc
from typing import Any

_M_ARENA_MAX = -8  # of malloc.h
_POOLS = 2


def share_pools() -> None:
    """Lets all threads take memory from a few pools, since each pool keeps some; before threads are started."""
    if mallopt := _of_c_library("mallopt"):
        mallopt(_M_ARENA_MAX, _POOLS)


def give_back() -> None:
    """Frees what nothing refers to any more, and returns it to the system."""
    gc.collect()
    if malloc_trim := _of_c_library("malloc_trim"):
        malloc_trim(0)


def _of_c_library(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
