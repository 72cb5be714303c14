"""Shuffles the frames of a clip."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key


def frame_order(key: Key[Array, ""], probability: float, count: int) -> Int[Array, "T"]:
    """A permutation of the frames with `probability`, otherwise the order as it is."""
    use_key, draw_key = jax.random.split(key)
    in_order = jnp.arange(count)
    shuffled = jax.random.permutation(draw_key, in_order)
    return jnp.where(jax.random.bernoulli(use_key, probability), shuffled, in_order)
