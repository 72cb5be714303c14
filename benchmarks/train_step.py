"""Time, memory, operations and size of one real training step.

    python benchmarks/train_step.py --size=112                      # the paper's network, R(2+1)D at 112x112, one clip
    python benchmarks/train_step.py --batch=2 --phase=teacher
    python benchmarks/train_step.py --config=tiny --batch=16 --steps=5

Random weights and random clips of the right shapes: neither changes the work.  Prints parameters by part, seconds of
the first step (with compilation) and of the following ones, operations of a step (products, convolutions, FFTs), their
speed beside that of a plain product in the same process, and the process's peak memory.

A batch of one clip gives the head's BatchNorm one row, of which it has no statistics and no gradient: there the head
uses its running statistics.
"""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import timed_steps
from timed_steps import count

from lift_flax import command_line, compiling, presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError, run_cli
from lift_flax.models.functional import Network, Tree, count_parameters, trees_of
from lift_flax.plan.flops import count_flops
from lift_flax.train import optim, phases

CLASSES = 11


class HeadInEval(Network):
    """A student's network whose head uses its running statistics, training or not."""

    def apply(self, params: Tree, stats: Tree, *inputs, train: bool) -> tuple[dict, Tree]:
        model = self.module(params, stats)
        head = model.head
        model.head = lambda x, *, train, intermediates=None: head(x, train=False, intermediates=intermediates)
        out = model(*inputs, train=train)
        model.head = head
        return out, trees_of(model)[1]


def random_streams(config: Config, batch: int) -> dict[str, jax.Array]:
    """Streams of `batch` clips of noise."""
    rng = np.random.default_rng(0)

    def clip(size: int, top: int) -> jax.Array:
        return jnp.asarray(rng.integers(0, top, (batch, config.data.num_frames, size, size, 3)), jnp.uint8)

    targets = jax.nn.one_hot(jnp.arange(batch) % CLASSES, CLASSES)
    luminous = clip(config.model.luminous.size, 255)
    return {"dark": clip(config.data.size, 60), "luminous": luminous, "targets": targets, "weight": jnp.ones(batch)}


def read_config(args: argparse.Namespace) -> Config:
    """The config, its ViT blocks frozen as it says though their weights are random: for timing they do."""
    try:
        values = presets.get_config(args.config).unlock()
    except ValueError as error:
        raise UserError(str(error)) from error
    given = {"model.luminous.size": args.size, "data.num_frames": args.frames, "model.levels": args.n}
    values.update_from_flattened_dict({field: value for field, value in given.items() if value is not None})
    values.train.precision = args.precision
    unfreeze, values.model.pvit.unfreeze = values.model.pvit.unfreeze, "all"
    config = from_dict(values.to_dict())
    pvit = dataclasses.replace(config.model.pvit, unfreeze=unfreeze)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, pvit=pvit))


def make_phase(config: Config, name: str, batch: int) -> phases.Phase:
    """The phase of training that is timed."""
    if name == "teacher":
        return phases.teacher_phase(config, CLASSES)
    phase = phases.student_phase(config, CLASSES, teacher=None)  # its R(2+1)D is random too
    return dataclasses.replace(phase, network=HeadInEval(phase.network.graphdef)) if batch == 1 else phase


def print_parameters(phase: phases.Phase, params: dict) -> None:
    """Numbers of parameters, of the main stream by its own parts."""
    main = [(f"main/{name}", part) for name, part in params.get("main", {}).items()]
    for name, part in main + [(name, part) for name, part in params.items() if name != "main"]:
        print(f"{name:24s} {count_parameters(part):>12,} parameters")
    trainable, _ = optim.split_params(params, phase.trains)
    print(f"{'all':24s} {count_parameters(params):>12,} parameters, {count_parameters(trainable):,} trained")


def make_timer(args: argparse.Namespace) -> timed_steps.Timer:
    """The step, ready to run."""
    config = read_config(args)
    phase = make_phase(config, args.phase, args.batch)
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
    state = phase.initial_state(optimizer)
    if not (args.json or args.worker):
        print_parameters(phase, state["params"])
    step = phase.make_step(phase.network, config, optimizer)
    streams = random_streams(config, args.batch)
    gflop = sum(count_flops(step, state, streams).values()) / 1e9
    compiled = compiling.compiled_at_first_call(step, donate_argnums=0)

    def one_step() -> float:
        nonlocal state
        state, metrics = jax.block_until_ready(compiled(state, streams))
        return float(metrics["loss"])

    settings = {"framework": f"jax {jax.__version__}", "config": args.config, "phase": args.phase, "batch": args.batch}
    settings |= {"size": config.model.luminous.size, "frames": config.data.num_frames, "n": config.model.levels}
    left, right = jax.random.normal(jax.random.key(0), (2, timed_steps.SIDE, timed_steps.SIDE))
    product = jax.jit(jnp.matmul)
    multiply = lambda: product(left, right).block_until_ready()  # noqa: E731
    return timed_steps.Timer(settings | {"precision": args.precision}, gflop, one_step, multiply)


def main() -> None:
    """Runs the steps and prints what they took."""
    parser = command_line.parser(__doc__, "python -m benchmarks.train_step")
    parser.add_argument("--config", default="paper", help="PRESET[,key=value...] of lift_flax/presets.py")
    parser.add_argument("--phase", choices=("teacher", "student"), default="student")
    parser.add_argument("--size", type=count, help="px, side of the R(2+1)D's frames (default: the config's)")
    parser.add_argument("--frames", type=count, help="of a clip (default: the config's)")
    parser.add_argument("--n", type=count, help="levels (default: the config's)")
    parser.add_argument("--batch", type=count, default=1, help="clips")
    parser.add_argument("--precision", default="tf32", help="of the trunks; a CPU gains nothing from bfloat16")
    timed_steps.add_arguments(parser)
    args = parser.parse_args()
    timed_steps.main(make_timer(args), args)


if __name__ == "__main__":
    run_cli(main)
