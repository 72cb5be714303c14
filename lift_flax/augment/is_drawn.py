"""Whether an augmentation is drawn for a clip."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def is_drawn(key: Key[Array, ""], probability: float) -> Float[Array, ""]:
    """1.0 with `probability`, else 0.0: a factor for what changes a clip."""
    return jax.random.bernoulli(key, probability).astype(jnp.result_type(float))
