"""Time, memory and size of one real training step.

    python benchmarks/train_step.py --config=paper --batch=2            # the paper's network at full size
    python benchmarks/train_step.py --config=tiny --batch=16 --steps=5

Random weights and random clips of the right shapes: neither changes the work.  Prints parameters by part, seconds of
the first step (with compilation) and of the following ones, and the process's peak memory.
"""

import argparse
import dataclasses
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import common
from lift_flax import config as config_lib
from lift_flax import optim, phases
from lift_flax.state import count_parameters


def random_views(config: config_lib.Config, batch: int, num_classes: int) -> dict[str, jax.Array]:
    """Views of `batch` clips of noise."""
    rng = np.random.default_rng(0)

    def clip(size: int, top: int) -> jax.Array:
        return jnp.asarray(rng.integers(0, top, (batch, config.data.num_frames, size, size, 3)), jnp.uint8)

    targets = jax.nn.one_hot(jnp.arange(batch) % num_classes, num_classes)
    luminous = clip(config.model.luminous.size, 255)
    return {"dark": clip(config.data.size, 60), "luminous": luminous, "targets": targets, "weight": jnp.ones(batch)}


def read_config(arg: str, dtype: str) -> config_lib.Config:
    """The config, its ViT blocks frozen as it says though their weights are random: for timing they do."""
    values = common.get_config(arg).unlock()
    values.train.dtype = dtype
    unfreeze, values.model.pvit.unfreeze = values.model.pvit.unfreeze, "all"
    config = config_lib.from_dict(values.to_dict())
    pvit = dataclasses.replace(config.model.pvit, unfreeze=unfreeze)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, pvit=pvit))


def parts(params: dict) -> list[tuple[str, dict]]:
    """(name, parameters) of the network's parts; the main stream by its own parts."""
    main = [(f"main/{name}", part) for name, part in params.get("main", {}).items()]
    return main + [(name, part) for name, part in params.items() if name != "main"]


def main() -> None:
    """Runs the steps and prints what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="paper", help="PRESET[,key=value...] of configs/common.py")
    parser.add_argument("--phase", choices=("teacher", "student"), default="student")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--steps", type=int, default=2, help="steps after the first")
    parser.add_argument("--dtype", default="float32", help="of activations; a CPU gains nothing from bfloat16")
    args = parser.parse_args()
    config = read_config(args.config, args.dtype)
    phase = phases.teacher_phase(config, args.classes)
    if args.phase == "student":
        teacher = phase.initial_state(optax.sgd(0.0)) if config.train.distill else None
        phase = phases.student_phase(config, args.classes, teacher)
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
    state = phase.initial_state(optimizer)
    trainable, _ = optim.split_params(state["params"], phase.trains)
    for name, part in parts(state["params"]):
        print(f"{name:24s} {count_parameters(part):>12,} parameters")
    print(f"{'all':24s} {count_parameters(state['params']):>12,} parameters, {count_parameters(trainable):,} trained")
    step = jax.jit(phase.make_step(phase.network, config, optimizer), donate_argnums=0)
    views = random_views(config, args.batch, args.classes)
    for number in range(1 + args.steps):
        start = time.perf_counter()
        state, metrics = step(state, views)
        loss = float(metrics["loss"])
        kind = "first step, with compilation" if number == 0 else "step"
        print(f"{kind}: {time.perf_counter() - start:.2f} s, loss {loss:.4f}", flush=True)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
