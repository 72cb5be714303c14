"""The training loop: what goes to the devices and back, and when metrics are read."""

import contextlib
import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.distributed import processes
from lift_flax.distributed.mesh import make_mesh, put_batch
from lift_flax.runs.checkpoints import Checkpoints, best_step
from lift_flax.runs.metrics_log import MetricsWriter, read_metrics
from lift_flax.train import epochs, loop, optim, phases
from tests import ROOT
from tests.support.run_tools import environment
from tests.support.small_config import small_config


def train_both(config: Config, workdir: Path, teacher_alone: bool = False) -> None:
    """Both phases, without what a run does before and after them."""
    opened, mesh = open_records(config.data.dir), make_mesh(config)
    with contextlib.closing(MetricsWriter(workdir)) as writer, jax.set_mesh(mesh):
        run = phases.RunContext(
            config, workdir, opened, mesh, writer, processes.StopSignal(), opened.split(1, "train"), []
        )
        _, teacher = loop.train_phase(run, phases.teacher_phase(config, 3))
        if not teacher_alone:
            loop.train_phase(run, phases.student_phase(config, 3, teacher))


def _steps(workdir: Path) -> list[dict]:
    """The lines of single steps."""
    return [line for line in read_metrics(workdir) if line["split"] == "train"]


def test_metrics_are_read_while_the_next_step_runs(records, tmp_path, monkeypatch):
    """Those of step n after step n + 1 was given to the devices; only at the end of an epoch before that."""
    happened = []
    compute, write = loop._Loop._compute, MetricsWriter.write

    def computing(self, state, batch, key, step):
        happened.append(("compute", self.phase.name, step))
        return compute(self, state, batch, key, step)

    def writing(self, phase, split, step, *rest):
        if split == "train":
            happened.append(("write", phase, step))
        write(self, phase, split, step, *rest)

    monkeypatch.setattr(loop._Loop, "_compute", computing)
    monkeypatch.setattr(MetricsWriter, "write", writing)
    train_both(small_config(records=records), tmp_path, teacher_alone=True)
    teacher = [(what, step) for what, phase, step in happened if phase == "teacher"]
    expected = [("compute", 1)]
    for step in range(2, 6):
        expected += [("compute", step), ("write", step - 1)]
    expected += [("write", 5), ("compute", 6)]  # 18 clips in steps of 4: the first epoch ends with step 5
    for step in range(7, 10):
        expected += [("compute", step), ("write", step - 1)]
    assert teacher == [*expected, ("write", 9)]
    assert [line["step"] for line in _steps(tmp_path) if line["phase"] == "teacher"] == [*range(1, 10)]


@pytest.mark.parametrize("alone", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["teacher", "both"])
def test_lines_of_every_so_many_steps(records, tmp_path, alone):
    """The steps that are logged are those that would be if each were waited for: and the last of each epoch."""
    config = small_config(records=records, **{"train.student_epochs": 1, "log.every_steps": 3})
    train_both(config, tmp_path, teacher_alone=alone)
    steps = {"teacher": [3, 5, 6, 9]} if alone else {"teacher": [3, 5, 6, 9], "student": [3, 5]}
    for phase, expected in steps.items():
        lines = [line for line in _steps(tmp_path) if line["phase"] == phase]
        assert [line["step"] for line in lines] == expected
        assert [line["epoch"] for line in lines] == pytest.approx([4 * step / 18 for step in expected], abs=1e-4)


def test_the_best_step_on_validation_is_used(records, tmp_path):
    """Neither the first nor the last: steps of a known kind make the second epoch the best.

    They make the teacher answer the first class after the first epoch, then the second, then the third, whatever the
    clip; of the validation clips one is of the first class, three of the second, two of the third.
    """
    config = small_config(records=records, **{"train.teacher_epochs": 3})
    opened, mesh = open_records(str(records)), make_mesh(config)
    train_ids = opened.split(1, "train")
    of_class = [[i for i in train_ids if opened.index[i].label == label] for label in range(3)]
    val_ids = [*of_class[0][:1], *of_class[1][:3], *of_class[2][:2]]

    def make_step(network, config, optimizer):
        def step(state, streams):
            number = state["step"]  # of steps taken before: 18 clips in fours end their epochs with steps 5, 9 and 14
            bias = 1e3 * jax.nn.one_hot((number >= 5).astype(int) + (number >= 9), 3)
            classifier = {**state["params"]["fc"], "bias": bias}
            changed = {**state, "params": {**state["params"], "fc": classifier}, "step": number + 1}
            return changed, dict.fromkeys(("loss", "top1", "grad_norm"), 0 * streams["weight"].sum())

        return step

    phase = dataclasses.replace(phases.teacher_phase(config, 3), make_step=make_step)
    with contextlib.closing(MetricsWriter(tmp_path)) as writer, jax.set_mesh(mesh):
        run = phases.RunContext(config, tmp_path, opened, mesh, writer, processes.StopSignal(), train_ids, val_ids)
        facts, best = loop.train_phase(run, phase)
    lines = [line for line in read_metrics(tmp_path) if line["split"] == "validation"]
    assert [(line["step"], line["top1"]) for line in lines] == [(5, 1 / 6), (9, 1 / 2), (14, 1 / 3)]
    assert facts["step"] == 9 and np.argmax(best["params"]["fc"]["bias"]) == 1
    assert best_step(tmp_path / "teacher") == 9  # for whoever opens the run


@pytest.fixture
def small_loop(records, tmp_path):
    """(loop of a teacher whose step only reads its streams, a batch on the device)."""
    config, opened = small_config(records=records), open_records(str(records))
    mesh, phase = make_mesh(config), phases.teacher_phase(config, 3)
    run = phases.RunContext(config, tmp_path, opened, mesh, MetricsWriter(tmp_path), processes.StopSignal(), [], [])
    add = lambda state, streams: ({"sum": state["sum"] + streams["weight"].sum()}, {"loss": streams["luminous"].sum()})  # noqa: E731
    step = jax.jit(add)
    batch = {
        "clip": np.zeros((4, 4, 32, 32, 3), np.uint8),
        "label": np.zeros(4, np.int32),
        "weight": np.ones(4, np.float32),
    }
    rest = {"ends": {1: 1}, "schedule": optim.make_schedule(config, 1), "means": epochs.EpochMeans()}
    rest["patience"] = epochs.Patience(0)
    small = loop._Loop(run, phase, step, Checkpoints(tmp_path / phase.name), **rest)
    return small, put_batch(batch, mesh)


def test_a_copy_that_nobody_asked_for_is_refused(small_loop):
    """The whole loop runs under this guard in every test that trains.

    On a CPU it sees what goes to a device and what goes from one to another.  Reading back costs nothing there and is
    let through; on other devices it would be seen too.
    """
    small, on_device = small_loop
    state, key = {"sum": jnp.zeros(())}, small._key()
    state, values = small._compute(state, on_device, key, 1)
    assert float(state["sum"]) == 4 and float(values["loss"]) == 0
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        small._compute({"sum": np.float32(0)}, on_device, key, 1)
    doubled = lambda state, streams: (state, {"loss": streams["weight"] * 2})  # noqa: E731  # 2 goes up
    eager = dataclasses.replace(small, step_fn=doubled)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        eager._compute(state, on_device, key, 1)


def test_augmentation_follows_the_step(small_loop):
    """Keys are those of seed, phase, purpose and step, folded in one after another."""
    small, _ = small_loop
    expected = jax.random.key(0)
    for number in (1, 0, 7):
        expected = jax.random.fold_in(expected, number)
    found = loop._fold_in(small._key(), np.uint32(7))
    assert jnp.array_equal(jax.random.key_data(found), jax.random.key_data(expected))


ON_DEVICES = """
import sys; from pathlib import Path; import jax
from tests.support.small_config import small_config; from tests.train.test_loop import train_both
assert jax.device_count() == 4
fields = {"mesh.fsdp": 2, "train.teacher_epochs": 1, "train.student_epochs": 1}
train_both(small_config(records=sys.argv[1], **fields), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_no_copies_between_several_devices(records, tmp_path):
    """Both phases on four devices, two of which share each parameter: all that the steps need is where they need it."""
    command = [sys.executable, "-c", ON_DEVICES, str(records), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environment(4), check=True)
    assert [line["step"] for line in _steps(tmp_path)] == [*range(1, 6)] * 2
