"""Several devices compute what one computes, and nothing gathers the batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import dataclasses, json, re, sys
import jax, numpy as np
from lift_flax import optim, phases, sharding
from lift_flax.config import AUGMENTATIONS
from lift_flax.data import augment
from tests.small_config import small_config

every = {f"augment.{name}": 0.7 for name in AUGMENTATIONS}
config = small_config(**{"mesh.fsdp": int(sys.argv[1]), "train.learning_rate": 1e-5, **every})
mesh = sharding.make_mesh(config)
rng = np.random.default_rng(0)
batch = {
    "clip": rng.integers(0, 90, (4, 4, 32, 32, 3)).astype(np.uint8),
    "label": np.arange(4, dtype=np.int32) % 3,
    "weight": np.ones(4, np.float32),
}
losses = []
with jax.set_mesh(mesh):
    teacher = phases.teacher_phase(config, 3)
    phase = phases.student_phase(config, 3, {"params": teacher.params, "batch_stats": teacher.batch_stats})
    optimizer = optim.make_optimizer(config, optim.make_schedule(config, 100))
    state = phase.initial_state(optimizer)
    layout = sharding.state_sharding(mesh, state)
    state = jax.device_put(state, layout)
    step = jax.jit(
        phase.make_step(phase.network, config, optimizer), out_shardings=(layout, sharding.replicated(mesh))
    )
    batch, key = sharding.put_batch(batch, mesh), jax.random.key(0)
    views = augment.make_train_views(batch, key, config, 3)
    stages = (augment._shuffle, augment._warp, augment._jitter, augment._rain, augment._cutmix)
    programs = [stage.lower(batch["clip"], key, config.augment).compile() for stage in stages]
    compiled = step.lower(state, views).compile()
    programs.append(compiled)
    for _ in range(3):
        state, metrics = compiled(state, views)
        losses.append(float(metrics["loss"]))
gathers = [len(re.findall(r"= [^=]*all-gather\\(", program.as_text())) for program in programs]
spread = [views[name].sharding.is_fully_replicated for name in ("dark", "luminous")] == [False, False]
facts = {"devices": jax.device_count(), "losses": losses, "gathers": gathers, "spread": spread}
print(json.dumps(facts | {"levels": int(np.asarray(views["dark"], np.int64).sum())}))
"""


def _run(devices: int, fsdp: int = 1) -> dict:
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-c", PROGRAM, str(fsdp)]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one_device() -> dict:
    return _run(1)


@pytest.mark.parametrize("fsdp", [1, 2])
def test_four_devices_compute_what_one_does(one_device, fsdp):
    four = _run(4, fsdp)
    assert (one_device["devices"], four["devices"]) == (1, 4)
    np.testing.assert_allclose(four["losses"], one_device["losses"], rtol=1e-4)
    assert four["levels"] == one_device["levels"] and four["spread"]  # the very same views
    if fsdp == 1:
        assert not any(four["gathers"])
