"""Compiles large programs (steps, predictors, streams): with less memory on a CPU, and kept on disk for later runs."""

import ctypes
import functools
import os
import sys
from collections.abc import Callable

import jax

Options = dict[str, int | str | bool]

# Let YNNPACK handle convolutions only.  Its fusions of sums and products were no faster where they were measured
# (docs/performance.md), and they copy biases to the size of what they are added to.
_FOR_MANY_RUNS: Options = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"}
# For programs that run once: with all optimisations, loops of many random draws take three times as long to compile;
# without XLA's newer emitters of fused loops they take half of the rest.  What is drawn is the same, bit for bit.
_FOR_ONE_RUN: Options = {"xla_backend_optimization_level": 2, "xla_cpu_use_fusion_emitters": False}


def compile_once(function: Callable, *args, runs_once: bool = False, **jit_options) -> Callable:
    """Compiles `jax.jit(function, **jit_options)` for arguments like `args`; the result takes no others."""
    lowered = jax.jit(function, **jit_options).lower(*args)
    options = local_options(runs_once)
    compiled = lowered.compile(compiler_options=options)  # pyright: ignore[reportArgumentType]  # XLA takes numbers too
    give_memory_back()
    return compiled


def compiled_at_first_call(function: Callable, **jit_options) -> Callable:
    """Compiles `function` at its first call, as `compile_once` does for the arguments of that call."""
    compiled = None

    def call(*args):
        nonlocal compiled
        compiled = compiled or compile_once(function, *args, **jit_options)
        return compiled(*args)

    return call


def local_options(runs_once: bool = False) -> Options | None:
    """Returns the options that programs for this machine are compiled with."""
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
    """The options, or None where this version of JAX does not know them: they change speed and memory only."""
    options = dict(_FOR_ONE_RUN if runs_once else _FOR_MANY_RUNS)
    if jax.config.read("jax_disable_most_optimizations"):
        options.pop("xla_backend_optimization_level", None)  # who asks JAX for quick compiling gets it here too
    try:
        lowered = jax.jit(lambda: 0).lower()
        lowered.compile(compiler_options=options)  # pyright: ignore[reportArgumentType]  # XLA takes numbers too
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):
            raise
        return None
    return options


_SHORTEST = 0.0  # s of compilation from which a program is kept: reading a small one takes a tenth of the time


def keep_compiled_programs() -> None:
    """Keeps compiled programs in the user's cache folder, for this process and later ones.

    It changes JAX's settings for the whole process, before anything is compiled: for command lines only, never for a
    library call.  A folder that JAX_COMPILATION_CACHE_DIR names is left as it is.
    """
    home = os.path.expanduser("~")
    # jax makes this attribute when it is imported
    chosen = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if chosen or home == "~":  # or without a home
        return
    jax.config.update("jax_compilation_cache_dir", f"{home}/.cache/lift_flax/jax")
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)
