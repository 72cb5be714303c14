"""Devices to compile for that need not exist here, by the names of machines.

A TPU's compiler comes with `.[tpu]`, a GPU's with the plugins of `.[cuda12]`; both may be installed together.  No
device is touched.
"""

import dataclasses
import os
import re
from pathlib import Path

import jax
from jax.experimental import topologies

from lift_flax import compiling
from lift_flax.errors import UserError

# Memory that programs may use on one device, as TPU compilers state when they refuse a larger program.
GIB = 2**30
_TPU_MEMORY = {"v4": 30.75, "v5e": 15.75, "v5p": 95.74, "v6e": 31.25}
_GPUS = ("h100", "a100", "a6000")  # each has a file of facts for the compiler; a host has up to eight
_GPUS_PER_HOST = 8
_GPU_SHARE = "0.75"  # of a GPU's memory that JAX takes, unless XLA_CLIENT_MEM_FRACTION says otherwise

KNOWN = "local, v5e:2x2, v5e:4x4, v6e:2x2, v4:2x2x1, v5p:2x2x1 (and other sizes), h100x8, a100x8, a6000x2 (and xN)"


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices to compile for.

    Attributes:
      name: as the user wrote it.
      devices: one entry per device.
      memory: bytes that a program may use on one device.
      compiler_options: for `lowered.compile`.
    """

    name: str
    devices: tuple
    memory: int
    compiler_options: dict

    @property
    def is_tpu(self) -> bool:
        """Whether a TPU's compiler is at work."""
        return self.devices[0].platform == "tpu"

    @property
    def processes(self) -> int:
        """How many processes, one per host, such a cluster runs."""
        return len({device.process_index for device in self.devices})


def find(name: str) -> Topology:
    """The topology called `name`.  "local" means the devices of this machine; any other initialises no device.

    Raises:
      UserError: no such topology, or its compiler is not installed.
    """
    if name == "local":
        return _local()
    if match := re.fullmatch(r"(v4|v5e|v5p|v6e):\d+x\d+(x\d+)?", name):
        return _tpu(name, match[1])
    if match := re.fullmatch(rf"({'|'.join(_GPUS)})x(\d+)", name):
        return _gpu(name, match[1], int(match[2]))
    raise UserError(f"--topology={name} is unknown: choose {KNOWN}")


def _touch_no_device() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    jax.config.update("jax_platforms", "cpu")


def _local() -> Topology:
    devices = jax.devices()
    statistics = devices[0].memory_stats() or {}
    memory = statistics.get("bytes_limit") or _host_memory() // len(devices)
    return Topology("local", tuple(devices), memory, compiling.local_options() or {})


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _tpu(name: str, kind: str) -> Topology:
    # Otherwise the TPU's library asks the machine for these, with warnings, and refuses a second user.
    quiet = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost"}
    for variable, value in {**quiet, "TPU_WORKER_ID": "0", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}.items():
        os.environ.setdefault(variable, value)
    _touch_no_device()
    options = {}
    if kind == "v4":
        options["chip_config_name"] = "megacore"  # a chip is one device, as it is in training
    if name.endswith(":1x1"):
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        devices = topologies.get_topology_desc(name, platform="tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        raise UserError(f"--topology={name} is refused by the TPU compiler: {_first_line(error)}") from error
    except (RuntimeError, NotImplementedError) as error:
        raise UserError(f"--topology={name} needs the TPU compiler: pip install -e '.[tpu]'") from error
    return Topology(name, tuple(devices), int(_TPU_MEMORY[kind] * GIB), {})


def _gpu(name: str, kind: str, count: int) -> Topology:
    if count < 1 or (count > _GPUS_PER_HOST and count % _GPUS_PER_HOST):
        raise UserError(f"--topology={name}: a host has {_GPUS_PER_HOST} GPUs, so take 1 to 8, or a multiple of 8")
    share, facts = _gpu_share(), Path(__file__).with_name(f"{kind}.textproto").read_text()
    hosts = -(-count // _GPUS_PER_HOST)
    _touch_no_device()
    bounds = f"1x{hosts}x{count // hosts}"  # slices x hosts x GPUs of a host
    try:
        described = topologies.get_topology_desc(platform="cuda", target_config=facts, topology=bounds)
    except (RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"--topology={name} needs the GPU compiler: pip install -e '.[cuda12]' (without a GPU, jax-cuda12-plugin "
            "and jax-cuda12-pjrt of jax's version are enough)"
        ) from error
    # Products as library calls: the compiler cannot choose tiles of its own kernels without a GPU to time them on.
    options = {"xla_gpu_enable_triton_gemm": False}
    memory = re.search(r"device_memory_size: (\d+)", facts)
    assert memory is not None  # every file has it
    return Topology(name, tuple(described.devices), int(share * int(memory[1])), options)


def _gpu_share() -> float:
    """The share of a GPU's memory that JAX takes, as it reads it."""
    names = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    name, text = next(((n, os.environ[n]) for n in names if os.environ.get(n)), ("", _GPU_SHARE))
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UserError(f"{name}={text}: a share of a GPU's memory lies between 0 and 1")
    return share


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
