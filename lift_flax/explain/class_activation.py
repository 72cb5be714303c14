"""Class activation: which places and frames the student's logit of a class leans on, by its gradient.

Where the R(2+1)D's last map is at least 4x4, its channels are weighted by the gradient and summed (Grad-CAM, Selvaraju
et al., ICCV 2017; its map is averaged over space before anything else, so the gradient is the same everywhere in a
frame and times the map is Grad-CAM exactly).  A smaller map shows no place: the deepest stage that is at least 4x4 is
taken, with positive gradients only, element by element (LayerCAM, Jiang et al., TIP 2021), for an earlier stage's
gradient does differ from place to place.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from lift_flax.models.lift_net import LiftNet, first_streams, luminous_tokens
from lift_flax.models.video_resnet import STAGES

SMALLEST = 4  # places along a side, below which a map shows too little
PVIT = "pvit"


def choose_stage(model: LiftNet, luminous: Float[Array, "B T h w 3"] | jax.ShapeDtypeStruct) -> str:
    """Of which part the activation is taken: a stage of the R(2+1)D, or the PViT's tokens where that alone is used."""
    if model.streams == "main":
        return PVIT
    graphdef, state = nnx.split(model.trunk)

    def maps(state, clip: Array) -> list[Array]:
        trunk = nnx.merge(graphdef, state)
        found = [trunk.enter(clip, train=False)]
        for name in STAGES:
            found.append(trunk.stage(name, found[-1], train=False))
        return found[1:]

    sides = [min(x.shape[2:4]) for x in jax.eval_shape(maps, state, luminous)]
    fit = [name for name, side in zip(STAGES, sides, strict=True) if side >= SMALLEST]
    return fit[-1] if fit else STAGES[0]


def class_activation(
    model: LiftNet,
    dark: Float[Array, "B T H W 3"],
    luminous: Float[Array, "B T H2 W2 3"],
    label: Int[Array, "B"],
    stage: str,
) -> Float[Array, "B t h w"]:
    """The map of `stage` (of `choose_stage`) for the class `label` of each clip, in that part's own size; not negative.

    Inputs are normalised clips; the student is asked as in inference.
    """
    if stage == PVIT:
        return _of_pvit(model, dark, label)
    make, count = _copier(model), dark.shape[1]
    main = model.main(dark) if model.streams == "both" else None
    x = model.trunk.enter(luminous, train=False)
    last = STAGES.index(stage)
    for name in STAGES[: last + 1]:
        x = model.trunk.stage(name, x, train=False)  # [B, t, h, w, C]

    def logit(x: Array) -> Array:
        model = make()
        for name in STAGES[last + 1 :]:
            x = model.trunk.stage(name, x, train=False)
        return _logit(model, main, luminous_tokens(x, count), label)

    gradient, x = jax.grad(logit)(x).astype(jnp.float32), x.astype(jnp.float32)
    if stage != STAGES[-1]:
        gradient = jax.nn.relu(gradient)
    return jax.nn.relu((gradient * x).sum(axis=-1))  # [B, t, h, w]


def frame_relevance(model: LiftNet, fused: Float[Array, "B T E"], label: Int[Array, "B"]) -> Float[Array, "B T"]:
    """Gradient times token after the last level: how much each frame's speaks for the class, or against it."""

    def logit(fused: Array) -> Array:
        return _of_label(model.head(fused, train=False), label)

    return (jax.grad(logit)(fused) * fused).sum(axis=-1)


def _of_pvit(model: LiftNet, dark: Float[Array, "B T H W 3"], label: Int[Array, "B"]) -> Float[Array, "B T h w"]:
    """Gradient times token before the PViT's last block, summed over channels, where positive."""
    b, t, height, width, _ = dark.shape
    make = _copier(model)
    pvit = model.main.pvit
    x = pvit.embed(dark.reshape(b * t, height, width, 3))  # [B*T, 1+S, D]
    for block in pvit.blocks[:-1]:
        x = block(x)

    def logit(x: Array) -> Array:
        model = make()
        cls = model.main.pvit.blocks[-1](x, only_cls=True)  # [B*T, 1, D]
        return _logit(model, model.main.tokens(cls.reshape(b, t, -1)), None, label)

    gradient, x = jax.grad(logit)(x).astype(jnp.float32), x.astype(jnp.float32)
    maps = jax.nn.relu((gradient * x).sum(axis=-1)[:, 1:])  # [B*T, S]
    return maps.reshape(b, t, height // pvit.patches.patch, width // pvit.patches.patch)


def _logit(model: LiftNet, main: Array | None, light: Array | None, label: Int[Array, "B"]) -> Float[Array, ""]:
    return _of_label(model.head(model.fuse(*first_streams(main, light)), train=False), label)


def _of_label(logits: Float[Array, "B K"], label: Int[Array, "B"]) -> Float[Array, ""]:
    """Summed over clips, which do not see one another in inference: one gradient for all."""
    return jnp.take_along_axis(logits, label[:, None], axis=1).sum()


def _copier(model: LiftNet) -> Callable[[], LiftNet]:
    """Makes `model` anew within a transformation: Flax forbids one from outside to set its statistics there."""
    graphdef, state = nnx.split(model)
    return lambda: nnx.merge(graphdef, state)
