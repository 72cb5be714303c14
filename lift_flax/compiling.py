"""How large programs (steps, predictors, streams) are compiled on a CPU: for less memory, which is given back."""

import ctypes
import functools
import os
import sys
from collections.abc import Callable

import jax

Options = dict[str, int | str]

# Of the library that XLA calls on a CPU only the convolutions.  What it makes of sums and products with all that stands
# around them was no quicker where it was measured (docs/performance.md), and copies biases to the size of what they are
# added to.
_FOR_MANY_RUNS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"}
# For programs that run once: with all optimisation the loops of many random draws take three times as long to compile.
_FOR_ONE_RUN = {"xla_backend_optimization_level": 2}


def compile_once(function: Callable, *args, runs_once: bool = False, **jit_options) -> Callable:
    """`jax.jit(function, **jit_options)` compiled for arguments like `args`, and callable with no others."""
    compiled = jax.jit(function, **jit_options).lower(*args).compile(compiler_options=local_options(runs_once))
    give_memory_back()
    return compiled


def compiled_at_first_call(function: Callable, **jit_options) -> Callable:
    """The same, compiled for the arguments of its first call."""
    compiled = None

    def call(*args):
        nonlocal compiled
        compiled = compiled or compile_once(function, *args, **jit_options)
        return compiled(*args)

    return call


def local_options(runs_once: bool = False) -> Options | None:
    """What programs for this machine are compiled with."""
    return _accepted(runs_once) if jax.default_backend() == "cpu" else None


def give_memory_back() -> None:
    """Returns freed memory to the system.

    Compiling a large network leaves one to two GiB of small freed blocks, which glibc would keep for the process.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
        if trim is not None:
            trim(0)


@functools.cache
def _accepted(runs_once: bool) -> Options | None:
    """The options, or none where this version of JAX does not know them: they change nothing but speed and memory."""
    options = _FOR_ONE_RUN if runs_once else _FOR_MANY_RUNS
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):
            raise
        return None
    return options


_SHORTEST = 0.0  # s to compile, of what is kept: reading a small program takes a tenth of the time


def use() -> None:
    """Turns the cache on; to be called before anything is compiled."""
    home = os.path.expanduser("~")
    if jax.config.jax_compilation_cache_dir or home == "~":  # chosen, or without a home
        return
    jax.config.update("jax_compilation_cache_dir", f"{home}/.cache/lift_flax/jax")
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)
