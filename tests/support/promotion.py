"""Arrays meet in one dtype and with as many axes, or a test fails: nothing is promoted in silence."""

import functools

import jax
import optax


def strict() -> None:
    """Makes JAX refuse to promote dtypes and ranks from here on, but within optax, which relies on it."""
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    optax.adamw = _with_an_update_that_may_promote(optax.adamw)
    optax.cosine_decay_schedule = _with_a_result_that_may_promote(optax.cosine_decay_schedule)


def _may_promote(function):
    @functools.wraps(function)
    def promoting(*args, **options):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return function(*args, **options)

    return promoting


def _with_an_update_that_may_promote(make):
    @functools.wraps(make)
    def made(*args, **options):
        transformation = make(*args, **options)
        return transformation._replace(update=_may_promote(transformation.update))

    return made


def _with_a_result_that_may_promote(make):
    return functools.wraps(make)(lambda *args, **options: _may_promote(make(*args, **options)))
