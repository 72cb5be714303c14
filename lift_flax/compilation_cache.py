"""Compiled programs are kept between starts, in the user's cache folder, unless the environment chooses otherwise."""

import os

import jax


def use() -> None:
    """Turns the cache on; to be called before anything is compiled."""
    home = os.path.expanduser("~")
    if not jax.config.jax_compilation_cache_dir and home != "~":  # neither chosen, nor without a home
        jax.config.update("jax_compilation_cache_dir", f"{home}/.cache/lift_flax/jax")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
