"""The two phases of training, each as its network, its step and its start (paper section IV)."""

import dataclasses
import functools
from collections.abc import Callable

from flax import nnx

from lift_flax import optim, steps
from lift_flax.config import Config
from lift_flax.state import Network, Tree, abstract_trees, create, make_student, make_teacher, new_state, with_teacher
from lift_flax.weights.init_from import init_from


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
      name: "teacher" or "student"; the folder of its checkpoints.
      number: distinguishes the phases' random draws.
      epochs: passes over the training clips.
      network: the module without its arrays.
      params, batch_stats: where it starts.
      trains: which parameters are trained, by path.
      make_step: (network, config, optimizer) -> training step.
      outputs: (params, stats, views, train) -> (outputs, new stats).
    """

    name: str
    number: int
    epochs: int
    network: Network
    params: Tree
    batch_stats: Tree
    trains: optim.Predicate
    make_step: Callable
    outputs: Callable

    def initial_state(self, optimizer) -> Tree:
        """The state at step 0: moments exist for trainable parameters only."""
        trainable, _ = optim.split_params(self.params, self.trains)
        return new_state(self.params, self.batch_stats, optimizer.init(trainable))


def check_start(config: Config, num_classes: int) -> None:
    """Raises UserError where the networks of `config` cannot be made, or its `init_from` files do not fit them."""
    student = nnx.eval_shape(lambda: make_student(config, num_classes, nnx.Rngs(0)))
    teacher = nnx.eval_shape(lambda: make_teacher(config, num_classes, nnx.Rngs(0)))
    if path := config.model.teacher.init_from:
        init_from(path, "teacher", *abstract_trees(teacher))
    if (path := config.model.pvit.init_from) and student.main is not None:
        init_from(path, "PViT", *abstract_trees(student.main.pvit))


def teacher_phase(config: Config, num_classes: int) -> Phase:
    """Phase one: the R(2+1)D on the luminous view."""
    network, params, stats = create(functools.partial(make_teacher, config, num_classes), config.seed)
    if path := config.model.teacher.init_from:
        params, stats = init_from(path, "teacher", params, stats)
    return Phase(
        name="teacher",
        number=1,
        epochs=config.train.teacher_epochs,
        network=network,
        params=params,
        batch_stats=stats,
        trains=optim.trains_in_teacher_phase,
        make_step=steps.make_teacher_step,
        outputs=functools.partial(steps.teacher_outputs, network, config),
    )


def student_phase(config: Config, num_classes: int, teacher: Tree | None) -> Phase:
    """Phase two: LIFT-Net, with the R(2+1)D of the trained `teacher` state (None without distillation)."""
    network, params, stats = create(functools.partial(make_student, config, num_classes), config.seed)
    if (path := config.model.pvit.init_from) and "main" in params:
        params["main"]["pvit"], _ = init_from(path, "PViT", params["main"]["pvit"], {})
    if (path := config.model.teacher.init_from) and teacher is None and "trunk" in params:
        params["trunk"], stats["trunk"] = init_from(path, "R(2+1)D", params["trunk"], stats["trunk"])
    if teacher is not None:
        params, stats = with_teacher(params, teacher["params"]), with_teacher(stats, teacher["batch_stats"])
    return Phase(
        name="student",
        number=2,
        epochs=config.train.student_epochs,
        network=network,
        params=params,
        batch_stats=stats,
        trains=optim.trains_in_student_phase(config),
        make_step=steps.make_student_step,
        outputs=functools.partial(steps.student_outputs, network, config),
    )
