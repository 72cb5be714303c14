"""Refuses what JAX would promote in silence: arrays of two dtypes, or of two ranks, that meet in one operation."""

import contextlib
import functools
from collections.abc import Iterator

import jax
import optax


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Within it nothing is promoted, but by optax's optimisers, which rely on it."""
    adamw = optax.adamw
    optax.adamw = lambda *args, **options: _promoting(adamw(*args, **options))
    try:
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            yield
    finally:
        optax.adamw = adamw


def _promoting(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    @functools.wraps(optimizer.update)
    def update(*args, **options):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return optimizer.update(*args, **options)

    return optax.GradientTransformation(optimizer.init, update)
