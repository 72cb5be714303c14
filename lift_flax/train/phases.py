"""The two phases of training, each as its network, its step and its start (paper section IV), and what all share."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from lift_flax import compiling
from lift_flax.augment.streams import make_train_streams
from lift_flax.config import Config
from lift_flax.data import fixed_views
from lift_flax.data.records import Records
from lift_flax.distributed import mesh
from lift_flax.distributed.processes import StopSignal
from lift_flax.errors import UserError
from lift_flax.evaluate import scoring
from lift_flax.evaluate.metrics import score
from lift_flax.features.frozen_vit import FrozenViT
from lift_flax.models import inputs
from lift_flax.models.build import make_student, make_teacher
from lift_flax.models.functional import Network, Tree, create, flatten, new_state, unflatten
from lift_flax.runs.metrics_log import MetricsWriter
from lift_flax.train import optim, step
from lift_flax.train.epochs import SHOWN
from lift_flax.train.starts import init_from
from lift_flax.weights.pretrained import pretrained_parts


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What the phases of a run share.

    Attributes:
      train_ids, val_ids: clips to train on, and to choose the best checkpoint by.
    """

    config: Config
    workdir: Path
    records: Records
    mesh: Mesh
    writer: MetricsWriter
    stop: StopSignal
    train_ids: list[str]
    val_ids: list[str]

    def data_seed(self, phase: "Phase") -> int:
        """Returns the seed of the order of the training clips."""
        return self.config.seed * 2 + phase.number

    def frozen_vit(self, phase: "Phase", state: Tree) -> FrozenViT | None:
        """Makes what computes the ViT of a phase by itself; None where that is left to its steps."""
        if not phase.fixed_views:
            return None
        pvit = state["params"]["main"]["pvit"]
        return FrozenViT(phase.network, self.config, self.records, self.mesh, pvit, self.stop)


ValidationMetrics = Callable[[Tree, Tree], dict[str, float]]  # of params and batch_stats


def _classification(run: RunContext, outputs: Callable, vit: FrozenViT | None) -> ValidationMetrics:
    """The loss and accuracy of the validation clips."""
    score_clips = scoring.ScoreClips(outputs, run.config, run.records, run.mesh, vit=vit)

    def validate(params: Tree, batch_stats: Tree) -> dict[str, float]:
        scored = score_clips(params, batch_stats, run.val_ids)
        top1 = score(scored["logits"], scored["labels"], run.records.classes)["top1"]
        return {"loss": float(scored["loss"]), "top1": top1}

    return validate


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
      name: "teacher", "student" or "pretrain"; the folder of its checkpoints.
      number: distinguishes the phases' random draws.
      epochs: passes over the training clips.
      network: the module without its arrays.
      draw: gives random (params, batch_stats) when traced.
      pretrained: {"params/...": array, "batch_stats/...": array}, what does not start from random draws.
      trains: which parameters are trained, by path.
      averages: whether the state keeps a moving average of them.
      make_step: (network, config, optimizer) -> training step.
      outputs: (params, stats, streams, train) -> (outputs, new stats).
      draws: how often a clip is drawn for its place in a batch (`data.batches.train_batches`).
      fixed_views: V of each training clip, where the phase has a frozen ViT and the config asks for them; else 0.
      make_streams: (batch, key, config, number of classes) -> the streams of a training batch.
      make_validation: (run, outputs, frozen ViT or None) -> what gives the metrics of the validation clips, "loss" and
        "top1" among them.
      shown: metrics of which an epoch has means.
    """

    name: str
    number: int
    epochs: int
    network: Network
    draw: Callable[[], tuple[Tree, Tree]]
    pretrained: dict[str, Any]
    trains: optim.Predicate
    averages: bool
    make_step: Callable
    outputs: Callable
    draws: int = 1
    fixed_views: int = 0
    make_streams: Callable = make_train_streams
    make_validation: Callable[[RunContext, Callable, FrozenViT | None], ValidationMetrics] = _classification
    shown: tuple[str, ...] = SHOWN

    def state_shapes(self, optimizer) -> Tree:
        """Returns the state as shapes."""
        return jax.eval_shape(functools.partial(self._start, optimizer), self.pretrained)

    def initial_state(self, optimizer, layout: Tree | None = None) -> Tree:
        """Makes the state at step 0, laid out by `layout` from the start; only trainable parameters have moments."""
        pretrained = self.pretrained
        if layout is not None:
            places = flatten({kind: layout[kind] for kind in ("params", "batch_stats")})
            pretrained = {
                path: leaf if isinstance(leaf, jax.Array) else mesh.put_everywhere(leaf, places[path])
                for path, leaf in pretrained.items()
            }
        start = functools.partial(self._start, optimizer)
        return compiling.compile_once(start, pretrained, runs_once=True, out_shardings=layout)(pretrained)

    def _start(self, optimizer, pretrained: dict[str, Any]) -> Tree:
        drawn = named(*self.draw())
        arrays = unflatten({**flatten(drawn), **pretrained})
        params, stats = arrays["params"], arrays.get("batch_stats", {})
        trainable, _ = optim.split_params(params, self.trains)
        state = new_state(params, stats, optimizer.init(trainable))
        if self.averages:
            state["average"] = jax.tree.map(jnp.copy, {"params": trainable, "batch_stats": stats})
        return state


def check_start(config: Config, num_classes: int) -> None:
    """Raises UserError where the networks of `config` cannot be made, or its `init_from` weights do not fit them."""
    _, student = _student_shapes(config, num_classes)
    parts = pretrained_parts(config)
    if config.train.init_from:
        found = [init_from.fitting(config, "student", student)]
        if config.train.distill and not config.train.teacher_from:
            found.append(init_from.fitting(config, "teacher", _teacher_shapes(config, num_classes)[1]))
        init_from.check(config, found)
        _check_frozen(config, student, found[0])
    if "teacher" in parts:
        parts["teacher"].check(_teacher_shapes(config, num_classes)[1])
    if "pvit" in parts and "main" in student["params"]:
        parts["pvit"].check(part_of(student, "main/pvit"))


def _check_frozen(config: Config, shapes: Tree, found: dict[str, Any]) -> None:
    """Raises UserError where `found` leaves parts of the ViT random that would be frozen."""
    pvit = config.model.pvit
    new = [path for path in flatten(shapes) if path.startswith("params/main/pvit/") and path not in found]
    if new and pvit.unfreeze != "all" and not pvit.init_from:
        raise UserError(
            f"config.train.init_from={config.train.init_from} does not fill {new[0].removeprefix('params/')}, and "
            f"config.model.pvit.unfreeze={pvit.unfreeze} would freeze random ViT blocks: set unfreeze=all"
        )


def teacher_phase(config: Config, num_classes: int) -> Phase:
    """Makes phase one: the R(2+1)D on the luminous stream."""
    (network, draw), shapes = _teacher_shapes(config, num_classes)
    parts = pretrained_parts(config)
    pretrained = parts["teacher"].tree(shapes) if "teacher" in parts else {}
    if config.train.init_from:
        pretrained |= init_from.taken(config, "teacher", shapes, set(pretrained))
    return Phase(
        name="teacher",
        number=1,
        epochs=config.train.teacher_epochs,
        network=network,
        draw=draw,
        pretrained=pretrained,
        trains=optim.trains_in_teacher_phase,
        averages=config.train.ema > 0,
        make_step=step.make_teacher_step,
        outputs=functools.partial(inputs.teacher_outputs, network, config),
        make_streams=functools.partial(make_train_streams, main=False),
    )


def student_phase(config: Config, num_classes: int, teacher: Tree | None) -> Phase:
    """Makes phase two: LIFT-Net, with the R(2+1)D of the trained `teacher` state (None without distillation)."""
    (network, draw), shapes = _student_shapes(config, num_classes)
    parts, pretrained = pretrained_parts(config), {}
    if "pvit" in parts and "main" in shapes["params"]:
        pretrained |= graft("main/pvit", parts["pvit"].tree(part_of(shapes, "main/pvit")))
    if teacher is not None:
        for place in {"trunk", "teacher"} & set(shapes["params"]):
            pretrained |= graft(place, flatten(named(teacher["params"], teacher["batch_stats"])))
    elif "teacher" in parts and "trunk" in shapes["params"]:
        pretrained |= graft("trunk", parts["teacher"].tree(part_of(shapes, "trunk")))
    if config.train.init_from:
        pretrained |= init_from.taken(config, "student", shapes, set(pretrained))
    return Phase(
        name="student",
        number=2,
        epochs=config.train.student_epochs,
        network=network,
        draw=draw,
        pretrained=pretrained,
        trains=optim.trains_in_student_phase(config),
        averages=config.train.ema > 0,
        make_step=step.make_student_step,
        outputs=functools.partial(inputs.student_outputs, network, config),
        fixed_views=fixed_views.count(config),
    )


def _teacher_shapes(config: Config, num_classes: int):
    """Returns ((network, draw), shapes of what is drawn) of the teacher."""
    made = create(functools.partial(make_teacher, config, num_classes), config.seed)
    return made, named(*jax.eval_shape(made[1]))


def _student_shapes(config: Config, num_classes: int):
    """Returns ((network, draw), shapes of what is drawn) of the student."""
    made = create(functools.partial(make_student, config, num_classes), config.seed)
    return made, named(*jax.eval_shape(made[1]))


def named(params: Tree, batch_stats: Tree) -> Tree:
    """The arrays of a network as one tree."""
    return {"params": params, "batch_stats": batch_stats}


def part_of(arrays: Tree, place: str) -> Tree:
    """The part of {"params", "batch_stats"} at `place`, as "main/pvit"."""

    def part(tree: Tree) -> Tree:
        return functools.reduce(lambda inner, key: inner.get(key, {}), place.split("/"), tree)

    return {kind: part(tree) for kind, tree in arrays.items()}


def graft(place: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """{"params/fc/bias": array} as {"params/trunk/fc/bias": array} where `place` is "trunk"."""
    split = {tuple(path.split("/", 1)): array for path, array in arrays.items()}
    return {f"{kind}/{place}/{rest}": array for (kind, rest), array in split.items()}
