"""The pure functions that are jitted: one training step for each phase, and scoring.

A step takes a state and the streams of a batch, and returns the new state and scalar metrics.  It draws no random
numbers: all draws belong to the making of the streams.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lift_flax.config import Config
from lift_flax.models.functional import Network, Tree
from lift_flax.models.inputs import Streams, student_outputs, teacher_outputs
from lift_flax.train import losses, optim

TrainStep = Callable[[Tree, Streams], tuple[Tree, dict[str, Array]]]


def make_teacher_step(network: Network, config: Config, optimizer: optax.GradientTransformation) -> TrainStep:
    """Phase one: the R(2+1)D learns by cross-entropy (Eq. 5)."""

    def loss_fn(params, stats, streams):
        out, stats = teacher_outputs(network, config, params, stats, streams, train=True)
        targets = losses.smoothed(streams["targets"], config.train.label_smoothing)
        loss = losses.cross_entropy(out["logits"], targets, streams["weight"])
        return loss, (stats, {"loss": loss, "top1": _top1(out["logits"], streams)})

    return make_step(loss_fn, optimizer, optim.trains_in_teacher_phase, config)


def make_student_step(network: Network, config: Config, optimizer: optax.GradientTransformation) -> TrainStep:
    """Phase two: LIFT-Net learns by cross-entropy and from the teacher's logits (Eq. 6)."""

    def loss_fn(params, stats, streams):
        out, stats = student_outputs(network, config, params, stats, streams, train=True)
        targets = losses.smoothed(streams["targets"], config.train.label_smoothing)
        loss = entropy = losses.cross_entropy(out["logits"], targets, streams["weight"])
        metrics = {"cross_entropy": entropy, "top1": _top1(out["logits"], streams)}
        if config.train.distill:
            how = {"term": config.train.distill_term, "temperature": config.train.temperature}
            metrics["distillation"] = losses.distillation(
                out["teacher_logits"], out["logits"], streams["weight"], **how
            )
            loss = entropy + config.train.distill_weight * metrics["distillation"]
        if config.train.main_weight:
            metrics["main_entropy"] = losses.cross_entropy(out["main_logits"], targets, streams["weight"])
            loss = loss + config.train.main_weight * metrics["main_entropy"]
        return loss, (stats, {"loss": loss, **metrics})

    return make_step(loss_fn, optimizer, optim.trains_in_student_phase(config), config)


def make_step(loss_fn, optimizer: optax.GradientTransformation, trains: optim.Predicate, config: Config) -> TrainStep:
    """The step of a phase.

    Args:
      loss_fn: (params, batch_stats, streams) -> (loss, (new batch_stats, metrics)); "loss" and "top1" are among them.
      trains: which parameters are trained, by path.
    """
    parts = config.train.accumulate

    def step(state: Tree, streams: Streams) -> tuple[Tree, dict[str, Array]]:
        trainable, frozen = optim.split_params(state["params"], trains)

        def gradient(stats: Tree, streams: Streams) -> tuple[Tree, tuple[Tree, dict[str, Array]]]:
            def loss_of_trainable(trainable):
                return loss_fn(optim.merge_params(trainable, frozen), stats, streams)

            return jax.grad(loss_of_trainable, has_aux=True)(trainable)

        if parts == 1:
            grads, (stats, metrics) = gradient(state["batch_stats"], streams)
        else:
            grads, (stats, metrics) = _mean_over_parts(gradient, trainable, state["batch_stats"], streams, parts)
        metrics["grad_norm"] = optax.tree.norm(grads)
        updates, opt_state = optimizer.update(grads, state["opt_state"], trainable)
        trainable = optax.apply_updates(trainable, updates)
        new = {
            "params": optim.merge_params(trainable, frozen),  # pyright: ignore[reportArgumentType]  # still a Tree
            "batch_stats": stats,
            "opt_state": opt_state,
            "step": state["step"] + 1,
        }
        if "average" in state:
            newest = {"params": trainable, "batch_stats": stats}
            new["average"] = optim.moved_average(state["average"], newest, config.train.ema, state["step"])
        return new, metrics

    return step


def _mean_over_parts(gradient, trainable: Tree, stats: Tree, streams: Streams, parts: int):
    """(gradient, (statistics, metrics)) of a batch in `parts`, one after another; BatchNorm sees a part at a time.

    Part p takes rows p, p + parts, ...: so every device computes on its own rows in each part.
    """

    def split(rows: Array) -> Array:  # [B, ...] -> [parts, B/parts, ...]
        return rows.reshape(len(rows) // parts, parts, *rows.shape[1:]).swapaxes(0, 1)

    def add(carry, part: Streams):
        total, stats = carry
        grads, (stats, metrics) = gradient(stats, part)
        return (jax.tree.map(jnp.add, total, grads), stats), metrics

    zero = jax.tree.map(jnp.zeros_like, trainable)
    (total, stats), metrics = jax.lax.scan(add, (zero, stats), jax.tree.map(split, streams))
    return jax.tree.map(lambda x: x / parts, total), (stats, jax.tree.map(jnp.mean, metrics))


def _top1(logits: Float[Array, "B K"], streams: Streams) -> Float[Array, ""]:
    hits = logits.argmax(axis=-1) == streams["targets"].argmax(axis=-1)
    counts = (streams["weight"] > 0).astype(jnp.float32)
    return jnp.where(hits, counts, 0).sum() / jnp.maximum(counts.sum(), 1)
