"""A training step on a mesh of devices: what each of them computes and holds, and how long the step takes.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python benchmarks/scaling_devices.py --fsdp=8

Prints one line of JSON; benchmarks/scaling.py makes the table.  The student of the tiny preset, which has every part
of the paper's network, on a global batch of eight clips, over all the devices there are, laid out and compiled as in
training.  Devices faked on a CPU share its cores, so their time tells nothing of real ones; what the compiler says of
work and memory is of one device and does.
"""

import json
import math
import resource
import statistics
import time

import jax
import train_step

from lift_flax import command_line, compiling, presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.distributed.mesh import batch_sharding, make_mesh, replicated, state_sharding
from lift_flax.errors import run_cli
from lift_flax.models.functional import Tree
from lift_flax.train import optim, phases

BATCH = 8  # clips over all devices
STEPS = 5  # timed, after the first


def read_config(fsdp: int) -> Config:
    """The tiny preset on a mesh that spreads parameters over `fsdp` devices."""
    values = presets.get_config("tiny").unlock()
    values.update_from_flattened_dict({"mesh.fsdp": fsdp, "train.batch_size": BATCH})
    return from_dict(values.to_dict())


def bytes_of_one_device(shapes: Tree, layout: Tree) -> int:
    """Bytes that one device holds of arrays laid out so."""
    sizes = jax.tree.map(lambda x, place: math.prod(place.shard_shape(x.shape)) * x.dtype.itemsize, shapes, layout)
    return sum(jax.tree.leaves(sizes))


def measure(fsdp: int) -> dict:
    """What the compiler says of one device, and the seconds of the steps."""
    config = read_config(fsdp)
    mesh = make_mesh(config)
    with jax.set_mesh(mesh):
        phase = phases.student_phase(config, train_step.CLASSES, teacher=None)
        optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
        layout = state_sharding(mesh, phase.state_shapes(optimizer))
        state = phase.initial_state(optimizer, layout)
        state_bytes = bytes_of_one_device(state, layout)
        streams = jax.device_put(train_step.random_streams(config, BATCH), batch_sharding(mesh))
        step = phase.make_step(phase.network, config, optimizer)
        places = (layout, replicated(mesh))
        start = time.perf_counter()
        compiled = compiling.compile_once(step, state, streams, donate_argnums=0, out_shardings=places)
        compile_s = time.perf_counter() - start
        losses, seconds = [], []
        for _ in range(STEPS + 1):
            start = time.perf_counter()
            state, metrics = jax.block_until_ready(compiled(state, streams))
            seconds.append(time.perf_counter() - start)
            losses.append(float(metrics["loss"]))
    memory = compiled.memory_analysis()  # of one device
    fresh = memory.output_size_in_bytes - memory.alias_size_in_bytes  # the new state is written over the old
    return {
        "devices": jax.device_count(),
        "fsdp": fsdp,
        "batch": BATCH,
        "clips_of_a_device": BATCH // jax.device_count(),
        "gflop_of_a_device": compiled.cost_analysis()["flops"] / 1e9,
        "state_bytes": state_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "needed_bytes": memory.argument_size_in_bytes + memory.temp_size_in_bytes + fresh,
        "compile_s": compile_s,
        "step_s": statistics.median(seconds[1:]),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Prints what was measured."""
    parser = command_line.parser(__doc__, "python -m benchmarks.scaling_devices")
    parser.add_argument("--fsdp", type=int, default=1, help="devices that share the parameters of one replica")
    print(json.dumps(measure(parser.parse_args().fsdp)))


if __name__ == "__main__":
    run_cli(main)
