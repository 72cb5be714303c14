"""The pure functions that are jitted: one training step for each phase, and scoring.

A step takes a state and the views of a batch and returns the new state and scalar metrics.  It draws no random numbers:
what is random about a batch was settled when its views were made.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, UInt8

from lift_flax.config import Config
from lift_flax.models.functional import Network, Tree
from lift_flax.train import losses, optim

Views = dict[str, Array]  # dark [B,T,H,W,3] and luminous [B,T,h,w,3] uint8, targets [B,K], weight [B]
Step = Callable[[Tree, Views], tuple[Tree, dict[str, Array]]]


def normalise(
    clip: UInt8[Array, "*dims 3"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "*dims 3"]:
    """Levels 0 to 255 to the zero-mean floats a trunk was trained on: (clip / 255 - mean) / std."""
    return (clip.astype(jnp.float32) / 255 - jnp.array(mean)) / jnp.array(std)


def teacher_outputs(network: Network, config: Config, params: Tree, stats: Tree, views: Views, *, train: bool):
    """(outputs, new statistics) of the teacher on a batch's luminous views."""
    return network.apply(params, stats, _luminous(views, config), train=train)


def student_outputs(network: Network, config: Config, params: Tree, stats: Tree, views: Views, *, train: bool):
    """(outputs, new statistics) of the student on a batch's dark and luminous views."""
    return network.apply(params, stats, *student_inputs(config, views), train=train)


def student_inputs(config: Config, views: Views) -> tuple[Float[Array, "B T H W 3"], Float[Array, "B T h w 3"]]:
    """(dark, luminous) clips as the student takes them: normalised, in the dtype of its trunks."""
    dark = normalise(views["dark"], config.model.pvit.mean, config.model.pvit.std).astype(config.train.dtype)
    return dark, _luminous(views, config)


def luminous_statistics(config: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) of the R(2+1)D's input by channel: of its frames, or of coded flow."""
    teacher, luminous = config.model.teacher, config.model.luminous
    if luminous.input == "flow":
        return (luminous.flow_mean,) * 3, (luminous.flow_std,) * 3
    return teacher.mean, teacher.std


def _luminous(views: Views, config: Config) -> Float[Array, "B T h w 3"]:
    return normalise(views["luminous"], *luminous_statistics(config)).astype(config.train.dtype)


def make_teacher_step(network: Network, config: Config, optimizer: optax.GradientTransformation) -> Step:
    """Phase one: the R(2+1)D learns by cross-entropy (Eq. 5)."""

    def loss_fn(params, stats, views):
        out, stats = teacher_outputs(network, config, params, stats, views, train=True)
        loss = losses.cross_entropy(out["logits"], views["targets"], views["weight"])
        return loss, (stats, {"loss": loss, "top1": _top1(out["logits"], views)})

    return _make_step(loss_fn, optimizer, optim.trains_in_teacher_phase, config.train.accumulate)


def make_student_step(network: Network, config: Config, optimizer: optax.GradientTransformation) -> Step:
    """Phase two: LIFT-Net learns by cross-entropy and from the teacher's logits (Eq. 6)."""

    def loss_fn(params, stats, views):
        out, stats = student_outputs(network, config, params, stats, views, train=True)
        loss = entropy = losses.cross_entropy(out["logits"], views["targets"], views["weight"])
        metrics = {"cross_entropy": entropy, "top1": _top1(out["logits"], views)}
        if config.train.distill:
            metrics["distillation"] = losses.distillation(out["teacher_logits"], out["logits"], views["weight"])
            loss = entropy + config.train.distill_weight * metrics["distillation"]
        return loss, (stats, {"loss": loss, **metrics})

    return _make_step(loss_fn, optimizer, optim.trains_in_student_phase(config), config.train.accumulate)


def _make_step(loss_fn, optimizer: optax.GradientTransformation, trains: optim.Predicate, parts: int) -> Step:
    def step(state: Tree, views: Views) -> tuple[Tree, dict[str, Array]]:
        trainable, frozen = optim.split_params(state["params"], trains)

        def gradient(stats: Tree, views: Views) -> tuple[Tree, tuple[Tree, dict[str, Array]]]:
            def loss_of_trainable(trainable):
                return loss_fn(optim.merge_params(trainable, frozen), stats, views)

            return jax.grad(loss_of_trainable, has_aux=True)(trainable)

        if parts == 1:
            grads, (stats, metrics) = gradient(state["batch_stats"], views)
        else:
            grads, (stats, metrics) = _mean_over_parts(gradient, trainable, state["batch_stats"], views, parts)
        metrics["grad_norm"] = optax.tree.norm(grads)
        updates, opt_state = optimizer.update(grads, state["opt_state"], trainable)
        trainable = optax.apply_updates(trainable, updates)
        new = {
            "params": optim.merge_params(trainable, frozen),
            "batch_stats": stats,
            "opt_state": opt_state,
            "step": state["step"] + 1,
        }
        return new, metrics

    return step


def _mean_over_parts(gradient, trainable: Tree, stats: Tree, views: Views, parts: int):
    """(gradient, (statistics, metrics)) of a batch in `parts`, one after another; BatchNorm sees a part at a time.

    Part p takes rows p, p + parts, ...: so every device computes on its own rows in each part.
    """

    def split(rows: Array) -> Array:  # [B, ...] -> [parts, B/parts, ...]
        return rows.reshape(len(rows) // parts, parts, *rows.shape[1:]).swapaxes(0, 1)

    def add(carry, part: Views):
        total, stats = carry
        grads, (stats, metrics) = gradient(stats, part)
        return (jax.tree.map(jnp.add, total, grads), stats), metrics

    zero = jax.tree.map(jnp.zeros_like, trainable)
    (total, stats), metrics = jax.lax.scan(add, (zero, stats), jax.tree.map(split, views))
    return jax.tree.map(lambda x: x / parts, total), (stats, jax.tree.map(jnp.mean, metrics))


def _top1(logits: Float[Array, "B K"], views: Views) -> Float[Array, ""]:
    hits = logits.argmax(axis=-1) == views["targets"].argmax(axis=-1)
    return (hits * views["weight"]).sum() / jnp.maximum(views["weight"].sum(), 1)
