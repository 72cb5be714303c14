"""Several devices compute what one computes, exchange gradients and nothing else, and gather nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from lift_flax.distributed.mesh import partition
from tests import ROOT
from tests.support.run_tools import environment

PROGRAM = """
import functools, json, sys
import jax, numpy as np
from lift_flax import presets
from jax.extend.core import Literal
from lift_flax.augment.streams import make_train_streams
from lift_flax.config import AUGMENTATIONS
from lift_flax.distributed.mesh import make_mesh, put_batch, put_everywhere, replicated, state_sharding
from lift_flax.models import inputs
from lift_flax.models.functional import count_parameters, flatten
from lift_flax.models.layers import conv2d
from lift_flax.plan.collectives import collective_bytes
from lift_flax.train import optim, phases
from tests.support.small_config import small_config

def programs_of(function, *arguments):
    # (name, compiled text) of every program that `function` starts, each on the arrays that it gets there
    traced = jax.make_jaxpr(function)(*arguments)
    values = dict(zip(traced.jaxpr.invars, jax.tree.leaves(arguments), strict=True))
    for equation in traced.jaxpr.eqns:
        given = [v.val if isinstance(v, Literal) else values[v] for v in equation.invars]
        program = jax.jit(functools.partial(equation.primitive.bind, **equation.params)).lower(*given).compile()
        values.update(zip(equation.outvars, jax.tree.leaves(program(*given)), strict=True))
        yield equation.params.get("name", equation.primitive.name), program.as_text()

conv2d.PATCH_BYTES = 2**14  # so that kernel gradients run over several chunks on every device
fsdp, name, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
every = {f"augment.{name}": 0.7 for name in AUGMENTATIONS}
fields = {"mesh.fsdp": fsdp, "train.batch_size": 16, "data.num_frames": 12, "train.learning_rate": 1e-4}
alone = {"main stream": {"train.distill": False, "model.streams": "main"}, "any": presets.ANY_LIGHT}.get(name, {})
config = small_config(**{**fields, **alone, **every})
if double := sys.argv[4] == "float64":
    jax.config.update("jax_enable_x64", True)
    inputs.activation_dtype = lambda config: "float64"
mesh = make_mesh(config)
rng = np.random.default_rng(0)
levels = rng.integers(20, 200, (16, 1, 2, 2, 3)) + rng.integers(-20, 20, (16, 12, 2, 2, 3))  # clips that differ much
clips = np.kron(levels, np.ones((1, 1, 16, 16, 1), int)) + rng.integers(-15, 15, (16, 12, 32, 32, 3))
batch = {
    "clip": clips.clip(0, 255).astype(np.uint8),
    "label": np.arange(16, dtype=np.int32) % 3,
    "weight": np.ones(16, np.float32),
}
with jax.set_mesh(mesh):
    phase = phases.teacher_phase(config, 3) if name == "teacher" else phases.student_phase(config, 3, None)
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
    layout = state_sharding(mesh, phase.state_shapes(optimizer))
    state = phase.initial_state(optimizer, layout)
    if double:
        state = jax.tree.map(lambda x: x.astype("float64") if x.dtype == "float32" else x, state)
    shards = {path: str(leaf.sharding.spec) for path, leaf in flatten(state["params"]).items()}
    step = phase.make_step(phase.network, config, optimizer)
    step = jax.jit(step, donate_argnums=0, out_shardings=(layout, replicated(mesh)))
    key_data = put_everywhere(np.asarray(jax.random.key_data(jax.random.key(0))), replicated(mesh))
    batch, key = put_batch(batch, mesh), jax.random.wrap_key_data(key_data)
    streams = make_train_streams(batch, key, config, 3)
    compiled = step.lower(state, streams).compile()
    facts = {
        "devices": jax.device_count(),
        "spread": [streams[name].sharding.is_fully_replicated for name in ("dark", "luminous")] == [False, False],
        "levels": int(np.asarray(streams["dark"], np.int64).sum()),
        "shards": shards,
        "step": collective_bytes(compiled.as_text()),
    }
    if double:
        losses = []
        for _ in range(10):
            state, metrics = compiled(state, streams)
            losses.append(float(metrics["loss"]))
        arrays = flatten({"params": state["params"], "batch_stats": state["batch_stats"]})
        np.savez(out, losses=losses, **{path: np.asarray(leaf) for path, leaf in arrays.items()})
    else:
        programs = programs_of(lambda batch, key: make_train_streams(batch, key, config, 3), batch, key)
        facts["streams"] = [(name, collective_bytes(text)) for name, text in programs]
        facts["trained_bytes"] = 4 * count_parameters(optim.split_params(state["params"], phase.trains)[0])
print(json.dumps(facts))
"""


def _run(folder: Path, devices: int, fsdp: int, phase: str, dtype: str) -> dict:
    """Facts of a run in a process of its own; in float64 it leaves {path: parameter or statistic after ten steps}."""
    # what float32 sends is read of the program that users have; of the whole R(2+1)D ten steps outlast the compiler
    compiler = environment(devices, as_trained=dtype == "float32" or phase != "main stream")
    command = [sys.executable, "-c", PROGRAM, str(fsdp), phase, str(folder / "state.npz"), dtype]
    ran = subprocess.run(command, cwd=ROOT, env=compiler, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "state.npz") as arrays:
        return dict(arrays)


@pytest.fixture(
    scope="module",
    params=["main stream", *(pytest.param(name, marks=pytest.mark.slow) for name in ("teacher", "student", "any"))],
)
def one_device(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return request.param, _run(folder, 1, 1, request.param, "float64"), _arrays(folder)


@pytest.mark.parametrize("fsdp", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_eight_devices_compute_what_one_does(one_device, tmp_path, fsdp):
    """Losses, parameters and statistics after ten steps, and the very same streams; (8, 1) and (4, 2) devices.

    In float64: in float32 a unit near zero may be on for one side and off for the other.
    """
    phase, one, expected = one_device
    eight = _run(tmp_path, 8, fsdp, phase, "float64")
    assert (one["devices"], eight["devices"]) == (1, 8)
    assert eight["levels"] == one["levels"] and eight["spread"]
    assert any("fsdp" in spec for spec in eight["shards"].values()) == (fsdp == 2)
    if fsdp == 1:
        assert eight["step"]["all-gather"]["count"] == eight["step"]["all-to-all"]["count"] == 0
        assert eight["step"]["all-reduce"]["count"] > 0
    arrays = _arrays(tmp_path)
    assert arrays.keys() == expected.keys()
    # Softmax does not see key biases: their gradients are rounding alone.
    named = {name for name in arrays if not name.endswith("key/bias")}
    errors = {n: np.linalg.norm(arrays[n] - expected[n]) / max(np.linalg.norm(expected[n]), 1e-30) for n in named}
    worst = max(errors, key=errors.get)
    print(f"{phase}, fsdp {fsdp}: largest relative difference {errors[worst]:.1e} in {worst}")
    assert errors[worst] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_only_gradients_travel(tmp_path, phase):
    """Nothing is gathered, and what is summed over devices is as large as what is trained, in float32."""
    facts = _run(tmp_path, 8, 1, phase, "float32")
    started = [name for name, _ in facts["streams"]]
    assert [started.count(name) for name in ("_draw", "_apply", "_light")] == [6, 7, 1]  # _apply: frames, and targets
    for name, program in (*facts["streams"], ("step", facts["step"])):
        assert program["all-gather"]["count"] == program["all-to-all"]["count"] == 0, name
    summed = facts["step"]["all-reduce"]
    assert set(summed["dtypes"]) == {"f32"}
    assert facts["trained_bytes"] <= summed["bytes"] <= 1.05 * facts["trained_bytes"]


def test_how_arrays_are_laid_out():
    assert partition("params/trunk/layer4/0/conv1/spatial/kernel", (3, 3, 512, 1152), 4) == P(None, None, None, "fsdp")
    assert partition("opt_state/0/mu/levels/0/fusion/foe/fc1/kernel_re", (512, 512), 4) == P("fsdp", None)
    assert partition("params/main/pvit/blocks/0/mlp/fc1/kernel", (768, 3072), 4) == P(None, "fsdp")
    assert partition("params/main/pvit/positions", (1, 197, 768), 4) == P()  # no kernel
    assert partition("params/fc/kernel", (512, 11), 4) == P()  # small
    assert partition("params/main/pvit/blocks/0/mlp/fc1/kernel", (768, 3072), 5) == P()  # does not divide
    assert partition("params/main/pvit/blocks/0/mlp/fc1/kernel", (768, 3072), 1) == P()
