"""The two phases of training, each as its network, its step and its start (paper section IV)."""

import dataclasses
import functools
from collections.abc import Callable

import jax

from lift_flax import compiling
from lift_flax.config import Config
from lift_flax.distributed import mesh
from lift_flax.models import inputs
from lift_flax.models.build import make_student, make_teacher
from lift_flax.models.functional import Network, Tree, create, flatten, new_state, unflatten
from lift_flax.train import optim, step
from lift_flax.weights.init_from import init_from


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
      name: "teacher" or "student"; the folder of its checkpoints.
      number: distinguishes the phases' random draws.
      epochs: passes over the training clips.
      network: the module without its arrays.
      draw: gives random (params, batch_stats) when traced.
      pretrained: {"params": {path: array}, "batch_stats": the same}, what does not start from random draws.
      trains: which parameters are trained, by path.
      make_step: (network, config, optimizer) -> training step.
      outputs: (params, stats, views, train) -> (outputs, new stats).
    """

    name: str
    number: int
    epochs: int
    network: Network
    draw: Callable[[], tuple[Tree, Tree]]
    pretrained: dict[str, dict]
    trains: optim.Predicate
    make_step: Callable
    outputs: Callable

    def state_shapes(self, optimizer) -> Tree:
        """The state as shapes."""
        return jax.eval_shape(functools.partial(self._start, optimizer), self.pretrained)

    def initial_state(self, optimizer, layout: Tree | None = None) -> Tree:
        """The state at step 0, laid out by `layout` from the start; moments exist for trainable parameters only."""
        given = self.pretrained
        if layout is not None:
            places = {kind: flatten(layout[kind]) for kind in given}
            given = {
                kind: {
                    path: leaf if isinstance(leaf, jax.Array) else mesh.put_everywhere(leaf, places[kind][path])
                    for path, leaf in leaves.items()
                }
                for kind, leaves in given.items()
            }
        start = functools.partial(self._start, optimizer)
        return compiling.compile_once(start, given, runs_once=True, out_shardings=layout)(given)

    def _start(self, optimizer, given) -> Tree:
        params, stats = self.draw()
        params = unflatten({**flatten(params), **given["params"]})
        stats = unflatten({**flatten(stats), **given["batch_stats"]})
        trainable, _ = optim.split_params(params, self.trains)
        return new_state(params, stats, optimizer.init(trainable))


def check_start(config: Config, num_classes: int) -> None:
    """Raises UserError where the networks of `config` cannot be made, or its `init_from` files do not fit them."""
    _, draw = create(functools.partial(make_student, config, num_classes), config.seed)
    params, _ = jax.eval_shape(draw)
    if path := config.model.teacher.init_from:
        _, draw = create(functools.partial(make_teacher, config, num_classes), config.seed)
        init_from(path, "teacher", *jax.eval_shape(draw))
    if (path := config.model.pvit.init_from) and "main" in params:
        init_from(path, "PViT", params["main"]["pvit"], {})


def teacher_phase(config: Config, num_classes: int) -> Phase:
    """Phase one: the R(2+1)D on the luminous view."""
    network, draw = create(functools.partial(make_teacher, config, num_classes), config.seed)
    given = {"params": {}, "batch_stats": {}}
    if path := config.model.teacher.init_from:
        _take(given, "", *init_from(path, "teacher", *jax.eval_shape(draw)))
    return Phase(
        name="teacher",
        number=1,
        epochs=config.train.teacher_epochs,
        network=network,
        draw=draw,
        pretrained=given,
        trains=optim.trains_in_teacher_phase,
        make_step=step.make_teacher_step,
        outputs=functools.partial(inputs.teacher_outputs, network, config),
    )


def student_phase(config: Config, num_classes: int, teacher: Tree | None) -> Phase:
    """Phase two: LIFT-Net, with the R(2+1)D of the trained `teacher` state (None without distillation)."""
    network, draw = create(functools.partial(make_student, config, num_classes), config.seed)
    params, stats = jax.eval_shape(draw)
    given = {"params": {}, "batch_stats": {}}
    if (path := config.model.pvit.init_from) and "main" in params:
        _take(given, "main/pvit/", *init_from(path, "PViT", params["main"]["pvit"], {}))
    if (path := config.model.teacher.init_from) and teacher is None and "trunk" in params:
        _take(given, "trunk/", *init_from(path, "R(2+1)D", params["trunk"], stats["trunk"]))
    if teacher is not None:
        for part in {"trunk", "teacher"} & set(params):
            _take(given, f"{part}/", flatten(teacher["params"]), flatten(teacher["batch_stats"]), "")
    return Phase(
        name="student",
        number=2,
        epochs=config.train.student_epochs,
        network=network,
        draw=draw,
        pretrained=given,
        trains=optim.trains_in_student_phase(config),
        make_step=step.make_student_step,
        outputs=functools.partial(inputs.student_outputs, network, config),
    )


def _take(given: dict[str, dict], prefix: str, params: dict, stats: dict, note: str) -> None:
    """Adds values of one part of the network, whose paths begin with `prefix`."""
    given["params"].update({prefix + path: leaf for path, leaf in params.items()})
    given["batch_stats"].update({prefix + path: leaf for path, leaf in stats.items()})
    if note:
        print(note, flush=True)
