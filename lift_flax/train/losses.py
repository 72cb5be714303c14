"""The paper's two losses (section IV): the teacher learns by the first, the student by both (train/step.py).

Targets are class probabilities: mixed labels need no special case.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _weighted_mean(values: Float[Array, "B"], weight: Float[Array, "B"]) -> Float[Array, ""]:
    """Over the clips, those of weight 0 left out: weights, 1 on average over a data set, do not depend on the batch."""
    return (values * weight).sum() / jnp.maximum((weight > 0).sum(dtype=weight.dtype), 1)


def cross_entropy(
    logits: Float[Array, "B K"], targets: Float[Array, "B K"], weight: Float[Array, "B"]
) -> Float[Array, ""]:
    """Mean over the batch of -sum_i y_i log softmax(logits)_i (Eq. 5 and the first term of Eq. 6)."""
    return _weighted_mean(-(targets * jax.nn.log_softmax(logits)).sum(axis=-1), weight)


def smoothed(targets: Float[Array, "B K"], share: float) -> Float[Array, "B K"]:
    """Targets of which `share` is spread evenly over all classes (Szegedy et al., CVPR 2016)."""
    return targets * (1 - share) + share / targets.shape[-1]


def distillation(
    teacher_logits: Float[Array, "B K"],
    logits: Float[Array, "B K"],
    weight: Float[Array, "B"],
    *,
    term: Literal["l1_mean", "l1_sum", "kl"] = "l1_mean",
    temperature: float = 4.0,
) -> Float[Array, ""]:
    """Mean over the batch of the distance of both networks' logits; the teacher's side has no gradient.

    NOTE(paper): h1 and h2 of Eq. 6 are read as the logits, the only reading in which both have the same size.  Summed
    over classes its second term outweighs the first by far, so its mean is the default.

    Args:
      term: "l1_mean" or "l1_sum", the mean or sum over classes of |h1 - h2|; "kl", the divergence of the student's
        probabilities from the teacher's, of logits divided by `temperature`, times its square (Hinton et al., 2015).
    """
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    if term == "kl":
        ours, theirs = (jax.nn.log_softmax(h / temperature) for h in (logits, teacher_logits))
        return _weighted_mean(temperature**2 * (jnp.exp(theirs) * (theirs - ours)).sum(axis=-1), weight)
    distances = jnp.abs(teacher_logits - logits)  # [B, K]
    return _weighted_mean(distances.sum(axis=-1) if term == "l1_sum" else distances.mean(axis=-1), weight)
