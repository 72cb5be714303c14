"""AdamW with a cosine schedule, on the trainable part of the parameters only."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from lift_flax.config import Config
from lift_flax.models.functional import Tree, flatten, unflatten

Predicate = Callable[[str], bool]


def trains_in_teacher_phase(path: str) -> bool:
    """The whole R(2+1)D is trained."""
    del path
    return True


def trains_in_student_phase(config: Config) -> Predicate:
    """Which parameters of the student are trained, by path (paper sections III-C and IV).

    The R(2+1)D only when it is not distilled from, or with `trunk=finetune` (and never its unused classifier); of the
    PViT the first block, all of it, or nothing; everything after the trunks always.
    """
    trunk_trains = not config.train.distill or config.train.trunk == "finetune"
    pvit = {"first": "main/pvit/blocks/0/", "all": "main/pvit/", "none": None}[config.model.pvit.unfreeze]

    def trains(path: str) -> bool:
        if path.startswith("teacher/"):
            return False
        if path.startswith("trunk/"):
            return trunk_trains and not path.startswith("trunk/fc/")
        if path.startswith("main/pvit/"):
            return pvit is not None and path.startswith(pvit)
        return True

    return trains


def split_params(params: Tree, trains: Predicate) -> tuple[Tree, Tree]:
    """Splits into (trainable, frozen); `merge_params` puts them together again."""
    flat = flatten(params)
    chosen = {path: trains(path) for path in flat}
    return (
        unflatten({path: leaf for path, leaf in flat.items() if chosen[path]}),
        unflatten({path: leaf for path, leaf in flat.items() if not chosen[path]}),
    )


def merge_params(trainable: Tree, frozen: Tree) -> Tree:
    """The inverse of `split_params`."""
    return unflatten({**flatten(frozen), **flatten(trainable)})


def make_schedule(config: Config, total_steps: int) -> optax.Schedule:
    """Learning rate by step: cosine from `train.learning_rate` to 0 (PyTorch's CosineAnnealingLR by step).

    With `train.warmup` it first rises from 0 in a line, and the cosine takes the other steps.
    """
    rising = min(round(config.train.warmup * total_steps), total_steps - 1)
    cosine = optax.cosine_decay_schedule(config.train.learning_rate, total_steps - rising)
    if not rising:
        return cosine
    rise = optax.linear_schedule(0.0, config.train.learning_rate, rising)
    return optax.join_schedules([rise, cosine], [rising])


def make_optimizer(config: Config, schedule: optax.Schedule) -> optax.GradientTransformation:
    """AdamW with PyTorch's defaults: decay on every trainable parameter; before it, clipping where that is set."""
    train = config.train
    adamw = optax.adamw(schedule, eps=train.adam_eps, weight_decay=train.weight_decay)
    return optax.chain(optax.clip_by_global_norm(train.clip_norm), adamw) if train.clip_norm else adamw


def moved_average(average: Tree, newest: Tree, decay: float, step: Int[Array, ""]) -> Tree:
    """The moving average after `step` (from 0) steps before this one; in the first ones it follows more closely."""
    step = step.astype(jnp.float32)
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: old + (1 - kept) * (new - old), average, newest)
