"""What the commands share that run on one process or many: flags, the way in, and the ways out."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from absl import flags

from lift_flax import command_line, compiling, config_flags
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.distributed import processes
from lift_flax.errors import UserError


def define_cluster(values: flags.FlagValues) -> None:
    """Defines among `values` the flags that say where the other processes are."""
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where no scheduler gives it", flag_values=values)
    flags.DEFINE_integer("num_processes", None, "processes of the run, with --coordinator", flag_values=values)
    flags.DEFINE_integer("process_id", None, "number of this process, with --coordinator", flag_values=values)
    flags.DEFINE_bool("cluster", False, "look for the others of a TPU pod of virtual machines", flag_values=values)


def begin(about: str | None, values: flags.FlagValues, arguments: list[str]) -> tuple[Config, Path] | None:
    """(config, --workdir) of a command line, as `parse`, and the process made ready; None where it asked for --help.

    Args:
      about: of the command, for its help.
      values: its flags, --config, --workdir and --folds among them.
      arguments: the words, the program's name first.

    Raises:
      UserError: for anything that is wrong in them.
    """
    if {"--help", "-h"} & set(arguments):
        print(config_flags.help_text(about, values))
        return None
    config, workdir = parse(values, arguments)
    command_line.quieten_absl(logging.CRITICAL)  # what it would log is raised as well
    compiling.keep_compiled_programs()
    return config, workdir


def parse(values: flags.FlagValues, arguments: list[str]) -> tuple[Config, Path]:
    """(config, --workdir) of a command line with the flags --config, --workdir and --folds.

    Raises:
      UserError: for anything that is wrong in it.
    """
    nested = config_flags.parse(values, arguments)
    if not values.workdir:
        raise UserError("--workdir=DIR is needed (--help explains all flags)")
    if values.folds is not None and any(word.startswith("--config.data.fold") for word in arguments):
        raise UserError("--folds sets config.data.fold for each of its runs: give one of the two")
    return from_dict(nested), Path(values.workdir)


def join(values: flags.FlagValues, config: Config) -> None:
    """Joins the other processes that the flags of `define_cluster`, or a scheduler, name; see `processes.join`."""
    processes.join(
        values.coordinator,
        values.num_processes,
        values.process_id,
        search=values.cluster,
        heartbeat_seconds=config.mesh.heartbeat_seconds,
    )


def leave_after(work: Callable[[], None]) -> None:
    """Does `work`; one of several processes ends with it (`processes.leave_after`)."""
    if jax.distributed.is_initialized():
        processes.leave_after(work)
    work()


@contextlib.contextmanager
def running() -> Iterator[processes.StopSignal]:
    """Gives its block the signal to stop; one process prints what happens in it, and each its errors.

    Raises:
      UserError: there is no device, or its memory does not do.
    """
    _check_devices()
    if not processes.is_first():
        sys.stdout = open(os.devnull, "w")
    stop = processes.StopSignal()
    stop.listen()
    try:
        yield stop
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"too little memory on a device ({str(error).splitlines()[0][:200]}): save some with "
            "config.train.remat.*, accumulate, mesh.fsdp or a smaller batch_size; `lift-flax plan` says what fits"
        ) from error
    except processes.Stopped as stopped:
        print(f"{stopped}; the same command continues", flush=True)


def _check_devices() -> None:
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # plugins assert where their device is missing
        platforms = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]  # made at import
        raise UserError(f"no device of JAX_PLATFORMS={platforms}: set it to what there is, or unset it") from error
