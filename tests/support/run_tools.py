"""Real runs in processes of their own: started, watched, signalled."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from lift_flax.config import Config
from lift_flax.runs.checkpoints import Checkpoints
from lift_flax.train import optim, phases
from tests import QUICK, ROOT

Process = subprocess.Popen
_PATIENCE = 240  # s


def environment(devices: int = 1, *, as_trained: bool = False, **variables: str) -> dict[str, str]:
    """The environment of a process with so many CPU devices.

    With `as_trained` its compiler has the defaults that users have; else it is the tests' quick one.
    """
    flags = f"--xla_force_host_platform_device_count={devices} {os.environ.get('XLA_FLAGS', '')}".strip()
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"} if as_trained else {}
    flags = flags.replace(QUICK, "").strip() if as_trained else flags
    return {**os.environ, **quick, "XLA_FLAGS": flags, **variables}


@contextlib.contextmanager
def running(
    count: int,
    workdir: Path,
    records: Path,
    *,
    flags: tuple[str, ...] = (),
    slurm: bool = False,
    last: dict | None = None,
    module: str = "lift_flax.main",
    **fields,
) -> Iterator[list[Process]]:
    """The processes of one run of support/small_config.py with `fields` (by dotted name); what still runs is killed.

    `flags` are further flags of `lift-flax train`, or of the command that is `module`.
    What process i says goes to the file beside `workdir` that `said` reads.  With `slurm` they find each other as the
    tasks of a SLURM step do, else by flags.  `last` are fields of the last process alone.
    """
    command = [sys.executable, "-m", module, "--config=tests/support/small_config.py", f"--workdir={workdir}"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        processes = []
        for index in range(count):
            place = [f"--coordinator={coordinator}", f"--num_processes={count}", f"--process_id={index}"]
            log = stack.enter_context(_log(workdir, index).open("w"))
            environment = {**os.environ, "JAX_PLATFORMS": "cpu", **(_slurm_task(count, index) if slurm else {})}
            own = {"data.dir": records, **fields, **(last if last and index == count - 1 else {})}
            full = [*command, *(f"--config.{name}={value}" for name, value in own.items())]
            full += [*flags, *([] if slurm or count == 1 else place)]
            process = Process(full, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(_end, process)
            processes.append(process)
        yield processes


def _slurm_task(count: int, index: int) -> dict[str, str]:
    """The environment that srun gives a task; the port follows from the number of the job."""
    step = {"JOB_ID": os.getpid(), "NTASKS": count, "STEP_NUM_TASKS": count, "STEP_NUM_NODES": 1}
    task = {"PROCID": index, "LOCALID": index, "STEP_NODELIST": "localhost"}
    return {f"SLURM_{name}": str(value) for name, value in {**step, **task}.items()}


def _end(process: Process) -> None:
    process.kill()
    process.wait()


def _log(workdir: Path, index: int) -> Path:
    return workdir.with_name(f"{workdir.name}.{index}.log")


def said(workdir: Path, index: int = 0) -> str:
    """What a process has written to its screen."""
    return _log(workdir, index).read_text()


def wait_for_step(workdir: Path, phase: str, step: int, processes: list[Process]) -> None:
    """Waits until metrics.jsonl holds a step; fails where a process ends before that."""
    deadline, path = time.monotonic() + _PATIENCE, workdir / "metrics.jsonl"
    while time.monotonic() < deadline:
        text = path.read_text() if path.exists() else ""
        lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
        if any(line["phase"] == phase and line["step"] >= step for line in lines):
            return
        ended = [process.poll() for process in processes]
        assert ended == [None] * len(ended), "\n".join(said(workdir, i) for i in range(len(ended)))
        time.sleep(0.02)
    raise AssertionError(f"no step {step} of the {phase} within {_PATIENCE} s:\n{said(workdir)}")


def exit_codes(processes: list[Process], seconds: float = _PATIENCE) -> list[int]:
    """Waits for all of them to end."""
    deadline = time.monotonic() + seconds
    return [process.wait(max(deadline - time.monotonic(), 0.1)) for process in processes]


def newest_state(workdir: Path, phase: str, config: Config) -> dict[str, np.ndarray]:
    """Every array of a phase's newest checkpoint, by path, and the number of examples seen."""
    make = {"teacher": phases.teacher_phase, "student": lambda c, k: phases.student_phase(c, k, None)}[phase]
    shapes = make(config, 3).state_shapes(optim.make_optimizer(config, optim.make_schedule(config, 10)))
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes)
    with contextlib.closing(Checkpoints(workdir / phase)) as checkpoints:
        restored, data = checkpoints.restore_newest(shapes)
    leaves = {jax.tree_util.keystr(path): np.asarray(v) for path, v in jax.tree_util.tree_leaves_with_path(restored)}
    return {**leaves, "examples": np.array(data["examples"])}


def assert_same_state(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    """Bit by bit."""
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
