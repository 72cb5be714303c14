"""Class activation: which places and frames the student's logit of a class leans on, by its gradient.

Where the R(2+1)D's last map is at least 4x4, its channels are weighted by the gradient and summed (Grad-CAM, Selvaraju
et al., ICCV 2017).  That map is averaged over space before anything else, so its gradient is the same everywhere in a
frame, and gradient times map is Grad-CAM exactly.  A smaller map shows no place.  Then the deepest stage that is at
least 4x4 is taken, with positive gradients only, element by element (LayerCAM, Jiang et al., TIP 2021): an earlier
stage's gradient differs from place to place.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lift_flax.models.video_resnet import STAGES

SMALLEST = 4  # places along a side, below which a map shows too little
PVIT = "pvit"


def choose_stage(shapes: Mapping[str, jax.ShapeDtypeStruct], streams: str) -> str:
    """The part of the student that shows the activation: a stage of the R(2+1)D, or "pvit" of the main stream alone.

    Args:
      shapes: of the student's intermediates, by name.
      streams: both | main | luminous, the student's.
    """
    if streams == "main":  # its R(2+1)D, where it has one, only gives the teacher's logits
        return PVIT
    fit = [name for name in STAGES if min(shapes[f"trunk/{name}"].shape[2:4]) >= SMALLEST]
    return fit[-1] if fit else STAGES[0]


def point(stage: str, blocks: int) -> str:
    """Name of the intermediate that the activation of a stage is computed from.

    Of a PViT with `blocks` blocks it is what the last attention reads.  Before that LayerNorm, a token's length does
    not count, so gradient times token would be zero.
    """
    return f"main/pvit/blocks/{blocks - 1}/normed" if stage == PVIT else f"trunk/{stage}"


def class_activation(
    x: Float[Array, "B t h w C"], gradient: Float[Array, "B t h w C"], stage: str
) -> Float[Array, "B t h w"]:
    """The map of a stage of the R(2+1)D in the stage's own size; not negative.

    Args:
      x: the intermediate `point(stage)`.
      gradient: of the class's logit with respect to it.
    """
    x, gradient = x.astype(jnp.float32), gradient.astype(jnp.float32)
    if stage != STAGES[-1]:
        gradient = jax.nn.relu(gradient)
    return jax.nn.relu((gradient * x).sum(axis=-1))


def patch_activation(x: Float[Array, "B S E"], gradient: Float[Array, "B S E"]) -> Float[Array, "B P"]:
    """The map of the PViT's patches (S = 1+P): gradient times token, summed over channels, where positive."""
    return jax.nn.relu((gradient.astype(jnp.float32) * x.astype(jnp.float32)).sum(axis=-1)[:, 1:])


def frame_relevance(x: Float[Array, "B T E"], gradient: Float[Array, "B T E"]) -> Float[Array, "B T"]:
    """Gradient times token after the last level: how much each frame speaks for the class, or against it."""
    return (gradient * x).sum(axis=-1)
