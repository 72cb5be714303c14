"""The paper's two losses (section IV): the teacher learns by the first, the student by both (train/step.py).

Targets are class probabilities: mixed labels need no special case.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _weighted_mean(values: Float[Array, "B"], weight: Float[Array, "B"]) -> Float[Array, ""]:
    return (values * weight).sum() / jnp.maximum(weight.sum(), 1)


def cross_entropy(
    logits: Float[Array, "B K"], targets: Float[Array, "B K"], weight: Float[Array, "B"]
) -> Float[Array, ""]:
    """Mean over the batch of -sum_i y_i log softmax(logits)_i (Eq. 5 and the first term of Eq. 6)."""
    return _weighted_mean(-(targets * jax.nn.log_softmax(logits)).sum(axis=-1), weight)


def distillation(
    teacher_logits: Float[Array, "B K"], logits: Float[Array, "B K"], weight: Float[Array, "B"]
) -> Float[Array, ""]:
    """Mean over the batch of sum_i |h1_i - h2_i| (second term of Eq. 6); the teacher's side has no gradient.

    NOTE(paper): h1 and h2 are read as the logits, the only reading in which both have the same size.
    """
    return _weighted_mean(jnp.abs(jax.lax.stop_gradient(teacher_logits) - logits).sum(axis=-1), weight)
