"""Compiles the training step of a phase ahead of time, from shapes alone: no weights, no records, no devices needed."""

import dataclasses
import re
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from lift_flax.config import Config
from lift_flax.distributed.mesh import batch_sharding, replicated, state_sharding
from lift_flax.models.functional import Tree, count_parameters
from lift_flax.plan.collectives import collective_bytes
from lift_flax.plan.flops import count_flops
from lift_flax.plan.topologies import GIB, Topology
from lift_flax.pretrain.phase import pretrain_phase
from lift_flax.pretrain.views import view_rows, without_labels
from lift_flax.train import optim, phases
from lift_flax.train.phases import Phase

PARTS = ("pvit", "project", "trunk", "teacher", "levels", "head")  # named scopes of the student
FITS_BELOW = 0.9  # of the memory: batches that wait and the augmentation need room as well
_STEPS = 100  # of the schedule; any number gives the same program


@dataclasses.dataclass(frozen=True)
class StepShapes:
    """The training step of a phase, and the shapes that it takes.

    Attributes:
      function: (state, streams) -> (new state, metrics).
      forward: (state, streams) -> outputs of the network in training.
      state, streams: trees of shapes.
      phase: "teacher", "student" or "pretrain".
      batch_size: examples over all devices.
      trained: numbers in the trained parameters.
    """

    function: Callable
    forward: Callable
    state: Tree
    streams: Tree
    phase: str
    batch_size: int
    trained: int


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A training step after compilation: what it needs and exchanges.

    Attributes:
      needed: bytes on one device; None where the compiler refused and gave no number.
      fits: whether that is within FITS_BELOW of the device's memory.
      memory: bytes by kind; empty where the compiler refused.
      collectives: as `collective_bytes` gives them; empty where the compiler refused.
      seconds: for tracing and compiling.
    """

    needed: int | None
    fits: bool
    memory: dict[str, int]
    collectives: dict[str, dict]
    seconds: float


def step_shapes(config: Config, num_classes: int, name: str) -> StepShapes:
    """The step of the phase called `name`, as training makes it."""
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, _STEPS))
    phase = _phase(config, num_classes, name)
    state = phase.state_shapes(optimizer)

    def forward(state, streams):
        rows = view_rows(streams) if phase.draws > 1 else streams
        return phase.outputs(state["params"], state["batch_stats"], rows, train=True)

    return StepShapes(
        function=phase.make_step(phase.network, config, optimizer),
        forward=forward,
        state=state,
        streams=_streams(phase, config, num_classes),
        phase=name,
        batch_size=config.train.batch_size,
        trained=count_parameters(optim.split_params(state["params"], phase.trains)[0]),
    )


def _phase(config: Config, num_classes: int, name: str) -> Phase:
    if name == "pretrain":
        return pretrain_phase(without_labels(config))
    if name == "teacher":
        return phases.teacher_phase(config, num_classes)
    # A student from random weights is the same program as one from its teacher's.
    return phases.student_phase(config, num_classes, None)


def _streams(phase: Phase, config: Config, num_classes: int) -> Tree:
    """What a step takes: of a frozen ViT that is computed once for all steps, its features in place of frames."""
    data, rows = config.data, config.train.batch_size
    views = (rows, phase.draws) if phase.draws > 1 else (rows,)
    pixels = (*views, data.num_frames, data.size, data.size)
    batch = {
        "clip": jax.ShapeDtypeStruct((*pixels, 3), jnp.uint8),
        "flow": jax.ShapeDtypeStruct((*pixels, 2), jnp.uint8),
        "label": jax.ShapeDtypeStruct((rows,), jnp.int32),
        "weight": jax.ShapeDtypeStruct((rows,), jnp.float32),
    }
    if phase.fixed_views:
        shape = (rows, data.num_frames, config.model.pvit.width)
        batch["main_features"] = jax.ShapeDtypeStruct(shape, jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda batch, key: phase.make_streams(batch, key, config, num_classes), batch, key)


def flops_per_example(step: StepShapes) -> dict[str, dict[str, float]]:
    """{"forward": {part: operations}, "step": {part: operations}} of one example, a multiply-add being two."""

    def one(function):
        counts = count_flops(function, step.state, step.streams, parts=PARTS)
        if step.phase == "teacher":
            counts = {"teacher": sum(counts.values())}
        return {part: count / step.batch_size for part, count in counts.items()}

    return {"forward": one(step.forward), "step": one(step.function)}


def compile_step(step: StepShapes, mesh: Mesh, topology: Topology) -> CompiledStep:
    """Compiles `step` with the layout and the options of training."""
    started = time.monotonic()
    layout = state_sharding(mesh, step.state)
    rows = jax.tree.map(lambda _: batch_sharding(mesh), step.streams)
    function = jax.jit(step.function, donate_argnums=0, out_shardings=(layout, replicated(mesh)))
    with jax.set_mesh(mesh):
        lowered = function.lower(_placed(step.state, layout), _placed(step.streams, rows))
        try:
            compiled = lowered.compile(compiler_options=topology.compiler_options)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return CompiledStep(refused_bytes(str(error)), False, {}, {}, time.monotonic() - started)
    memory = _memory(compiled, topology)
    seconds = time.monotonic() - started
    text = compiled.as_text()
    assert text is not None  # XLA gives the text of what it has compiled
    collectives = collective_bytes(text)
    return CompiledStep(
        memory["needed"], memory["needed"] <= FITS_BELOW * topology.memory, memory, collectives, seconds
    )


def _placed(shapes: Tree, layout: Tree) -> Tree:
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, layout)


def _memory(compiled, topology: Topology) -> dict[str, int]:
    """Bytes on one device, from the compiler.

    A TPU's compiler lays everything out together, so its peak is what is needed, with the program itself; elsewhere
    the temporaries are one block beside arguments and results.
    """
    m = compiled.memory_analysis()
    outputs = m.output_size_in_bytes - m.alias_size_in_bytes  # the new state is written over the old
    needed = m.argument_size_in_bytes + m.temp_size_in_bytes + outputs
    if topology.is_tpu:
        needed = m.peak_memory_in_bytes
    return {
        "arguments": m.argument_size_in_bytes,
        "temporaries": m.temp_size_in_bytes,
        "outputs": outputs,
        "program": m.generated_code_size_in_bytes,
        "peak": m.peak_memory_in_bytes,
        "needed": needed + m.generated_code_size_in_bytes,
    }


def refused_bytes(message: str) -> int | None:
    """What a program would have needed, from the message with which a compiler refuses it."""
    match = re.search(r"temporaries \(([\d.]+)([KMG])\)|Used ([\d.]+)([KMG]) of", message)
    if not match:
        return None
    number, unit = [group for group in match.groups() if group]
    return int(float(number) * {"K": 2**10, "M": 2**20, "G": GIB}[unit])
