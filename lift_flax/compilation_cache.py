"""Compiled programs are kept between starts, in the user's cache folder, unless the environment chooses otherwise."""

import os

import jax

_SHORTEST = 0.0  # s to compile, of what is kept: reading a small program takes a tenth of the time


def use() -> None:
    """Turns the cache on; to be called before anything is compiled."""
    home = os.path.expanduser("~")
    if jax.config.jax_compilation_cache_dir or home == "~":  # chosen, or without a home
        return
    jax.config.update("jax_compilation_cache_dir", f"{home}/.cache/lift_flax/jax")
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)
