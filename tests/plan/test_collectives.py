"""Collectives are read right out of what compilers really write."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lift_flax.plan.collectives import KINDS, collective_bytes
from tests import ROOT
from tests.support.run_tools import environment

MIB = 2**20

PROGRAM = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from lift_flax.plan import topologies

devices = topologies.find(sys.argv[1]).devices
mesh = jax.make_mesh((2, len(devices) // 2), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2, devices=devices)

def shape(spec, *dims):
    return jax.ShapeDtypeStruct(dims, jnp.float32, sharding=NamedSharding(mesh, spec))

def loss(kernels, x):
    return (jax.lax.scan(lambda x, kernel: (jnp.sin(x @ kernel), None), x, kernels)[0] ** 2).mean()

def step(kernels, x):
    return kernels - 0.1 * jax.grad(loss)(kernels, x)

for name, kernels in (("copied", shape(P(), 7, 256, 256)), ("shared", shape(P(None, "fsdp"), 7, 256, 256))):
    x = shape(P(("data", "fsdp")), 2048, 256)
    text = jax.jit(step, out_shardings=kernels.sharding).lower(kernels, x).compile().as_text()
    Path(sys.argv[2], name + ".hlo").write_text(text)
"""


def _compiled(topology: str, folder: Path) -> dict[str, dict]:
    """{"copied": ..., "shared": ...}: seven products in a loop, their kernels on every device or shared out."""
    compiler = environment(8, as_trained=True, JAX_PLATFORMS="cpu")
    command = [sys.executable, "-c", PROGRAM, topology, str(folder)]
    ran = subprocess.run(command, cwd=ROOT, env=compiler, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return {path.stem: collective_bytes(path.read_text()) for path in folder.glob("*.hlo")}


def _used(collectives: dict[str, dict]) -> set[str]:
    assert set(collectives) == set(KINDS)
    assert all(sum(c["dtypes"].values()) == c["bytes"] and (c["count"] > 0) == (c["bytes"] > 0)
               for c in collectives.values())  # fmt: skip
    return {kind for kind, c in collectives.items() if c["count"]}


def test_eight_cpu_devices(tmp_path):
    found = _compiled("local", tmp_path)
    kernel = 256 * 256 * 4  # bytes
    copied, shared = found["copied"], found["shared"]
    assert _used(copied) == {"all-reduce"}  # of gradients: in the loop, kernel by kernel, or once behind it
    assert copied["all-reduce"]["bytes"] == 7 * kernel
    assert copied["all-reduce"]["dtypes"] == {"f32": 7 * kernel}
    assert "all-gather" in _used(shared)
    assert shared["all-gather"]["bytes"] == 2 * 7 * kernel  # every kernel forward, and again for the gradient
    assert shared["all-gather"]["count"] == 14


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="the TPU compiler is not installed: .[tpu]")
def test_tpu_compiler(tmp_path):
    found = _compiled("v5e:2x2", tmp_path)
    kernel = 256 * 256
    copied, shared = found["copied"], found["shared"]
    assert _used(copied) == {"all-reduce"} and copied["all-reduce"]["bytes"] == 7 * kernel * 4
    assert {"all-gather", "reduce-scatter"} <= _used(shared), json.dumps(shared)
    # Products are in bfloat16 there, so are the kernels that are gathered for them; overlapped copies count once.
    assert shared["all-gather"]["dtypes"] == {"bf16": 2 * 7 * kernel * 2}
    assert shared["reduce-scatter"]["dtypes"] == {"f32": 7 * kernel * 4}
