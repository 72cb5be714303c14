"""Will it fit?  Compiles the real training steps for a machine before you rent it.

    lift-flax plan --config=arid --topology=v5e:4x4
    lift-flax plan --config=arid --topology=h100x8 --remat=both --search
    lift-flax plan --config=arid:tiny                       # for the devices of this machine
    lift-flax plan --config=own:vits --config.data.dir=RECORDS --phase=pretrain

It reads no weights and uses no TPU or GPU: their compilers, from `.[tpu]` and `.[cuda12]`, are enough.  Of records,
which need not be there, it takes the number of classes and the values of fields that are "auto".  A full-size step
takes minutes to compile; the search for the largest batch takes a few compilations more.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import threading
import time
from pathlib import Path

from absl import flags

from lift_flax import config_flags, errors
from lift_flax.command_line import quieten_absl, say
from lift_flax.config import Config, Remat
from lift_flax.config_checks import from_dict
from lift_flax.data.chosen_fields import choose
from lift_flax.data.records import Records, folders_of, open_records
from lift_flax.data_sets import DATA_SETS
from lift_flax.distributed.mesh import make_mesh
from lift_flax.errors import UserError
from lift_flax.plan import compile_step, tables, topologies
from lift_flax.plan.batch_search import largest_batch
from lift_flax.pretrain import phase
from lift_flax.train import phases

_TICK_SECONDS = 30  # between lines of progress
_PHASES = ("teacher", "student", phase.NAME)  # both are those of training


def read_config(values: dict, phase_name: str = "both") -> tuple[Config, Records | None]:
    """The config without `init_from`, since planning frozen blocks needs no weights; and its records, if they are here.

    Fields that are "auto" have values then.
    """
    pretrained = {}
    for part in ("pvit", "teacher"):
        if isinstance(values.get("model"), dict) and isinstance(values["model"].get(part), dict):
            pretrained[part] = values["model"][part].get("init_from")
            values["model"][part]["init_from"] = "any weights"
    config = from_dict(values)
    records = _records(config.data.dir)
    config = _replace_train(_with_values(config, records), init_from="")
    parts = {name: dataclasses.replace(getattr(config.model, name), init_from="") for name in ("pvit", "teacher")}
    if phase_name == phase.NAME and pretrained.get("pvit"):  # which pretraining leaves as it is
        parts["pvit"] = dataclasses.replace(parts["pvit"], unfreeze="none")
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **parts)), records


def main(argv: list[str] | None = None) -> None:
    """The command line: prints a table, or with --json one object.

    Args:
      argv: flags without the program's name; None takes those of the process.
    Raises:
      UserError: bad flags or config, an unknown topology, or one whose compiler is not installed.
    """
    arguments = config_flags.arguments_of(argv)
    values = _flags(arguments)
    if {"--help", "-h"} & set(arguments):
        print(config_flags.help_text(__doc__, values))
        return
    config, records = read_config(config_flags.parse(values, arguments), values.phase)
    quieten_absl(logging.ERROR)
    pretrains = values.phase == phase.NAME
    num_classes = 1 if pretrains else _num_classes(config, records, values.num_classes)
    topology = topologies.find(values.topology)
    mesh = make_mesh(config, topology.devices)
    if pretrains:
        phase.check(config)
    else:
        phases.check_start(config, num_classes)
    report = {
        "topology": topology.name,
        "device": topology.devices[0].device_kind,
        "devices": len(topology.devices),
        "processes": topology.processes,
        "mesh": dict(mesh.shape),
        "device_memory": topology.memory,
        "dataset": config.dataset or (records.title if records else "own clips"),
        "num_classes": None if pretrains else num_classes,
        "batch_size": config.train.batch_size,
        "accumulate": config.train.accumulate,
        "precision": config.train.precision,
        "programs": [],
    }
    for name in _phases(values.phase, config):
        for variant in _remat_variants(config, values.remat):
            report["programs"].append(_plan_program(variant, num_classes, name, mesh, topology, values.search))
    if values.json:
        print(json.dumps(report, indent=2))
    else:
        tables.show(report)


def _records(place: str) -> Records | None:
    """The records of `config.data.dir`, if they are there: a plan is often made elsewhere."""
    if place and all(Path(folder).is_dir() for folder in folders_of(place)):
        return open_records(place)
    if place:
        say(f"config.data.dir={place} is not here: the plan is made without its records")
    return None


def _with_values(config: Config, records: Records | None) -> Config:
    """`config` with a value for each field that is "auto": chosen by the records, or its default; lines say which."""
    if records:
        config, lines = choose(config, records)
        for line in lines:
            say(f"auto: {line}")
        return config
    for name in (name.strip() for name in config.auto.split(",") if name):
        value = functools.reduce(getattr, name.split("."), config)
        say(f"auto: {name}={value}: the default, as there are no records to choose by (--config.data.dir)")
    return dataclasses.replace(config, auto="")


def _num_classes(config: Config, records: Records | None, given: int | None) -> int:
    if records and not records.classes:
        raise UserError(f"{records.place} holds clips without labels: plan what learns from them, --phase={phase.NAME}")
    data_set = DATA_SETS.get(config.dataset)
    found = given or (len(records.classes) if records else data_set and data_set.num_classes)
    if not found or found < 1:
        raise UserError(
            f"config.dataset='{config.dataset}' has no known number of classes: give --num-classes=K, or records "
            "(--config.data.dir)"
        )
    return found


def _flags(arguments: list[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.define_config(values, arguments)

    def own(define, name, default, *rest):
        define(name, default, *rest, flag_values=values)

    own(flags.DEFINE_string, "topology", "local", f"what to compile for: {topologies.KNOWN}")
    own(flags.DEFINE_integer, "num_classes", None, "K; for the data sets of configs/ it is known")
    own(flags.DEFINE_enum, "phase", "both", ["both", *_PHASES], "which steps")
    remat = "recomputing activations: as the config has it, nowhere, everywhere, or nowhere and everywhere"
    own(flags.DEFINE_enum, "remat", "config", ["config", "off", "on", "both"], remat)
    own(flags.DEFINE_bool, "search", False, "find the largest batch that fits: some three compilations a program")
    own(flags.DEFINE_bool, "json", False, "print one JSON object on stdout (bytes, operations, seconds)")
    return values


def _phases(choice: str, config: Config) -> list[str]:
    if choice == "teacher" and not config.train.distill:
        raise UserError("--phase=teacher: with config.train.distill=False there is no teacher phase")
    both = ["teacher", "student"] if config.train.distill else ["student"]
    return both if choice == "both" else [choice]


def _remat_variants(config: Config, choice: str) -> list[Config]:
    if choice == "config":
        return [config]
    variants = {"off": [False], "on": [True], "both": [False, True]}[choice]
    return [_replace_train(config, remat=Remat(on, on, on)) for on in variants]


def _replace_train(config: Config, **fields) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **fields))


def _plan_program(
    config: Config, num_classes: int, name: str, mesh, topology: topologies.Topology, search: bool
) -> dict:
    """One entry of "programs" in the report: what a program needs, whether it fits, what it sends and computes."""
    tried: dict[int, tuple[compile_step.StepShapes, compile_step.CompiledStep]] = {}

    def probe(batch: int) -> tuple[int | None, bool]:
        with _progress_of(f"{name}, batch {batch} on {topology.name}, remat {tables.remat(config.train.remat)}"):
            step = compile_step.step_shapes(_replace_train(config, batch_size=batch), num_classes, name)
            compiled = compile_step.compile_step(step, mesh, topology)
        tried[batch] = step, compiled
        say(f"  {tables.verdict(compiled.needed, compiled.fits, topology.memory)} ({compiled.seconds:.0f} s)")
        return compiled.needed, compiled.fits

    first, largest = config.train.batch_size, None
    if search:
        unit = len(topology.devices) * config.train.accumulate
        largest, _ = largest_batch(probe, first, unit, int(compile_step.FITS_BELOW * topology.memory))
    else:
        probe(first)
    step, compiled = tried[first]
    program = {
        "phase": name,
        "remat": dataclasses.asdict(config.train.remat),
        "trained_parameters": step.trained,
        **dataclasses.asdict(compiled),
        "advice": [] if compiled.fits else tables.advice(config, name, len(topology.devices)),
        "flops_per_example": compile_step.flops_per_example(step),
    }
    if search:
        program["largest_batch"] = largest
        program["batches_tried"] = {batch: o.fits for batch, (_, o) in sorted(tried.items())}
    return program


@contextlib.contextmanager
def _progress_of(what: str):
    """Prints what is being compiled, then every half minute the seconds so far."""
    started, done = time.monotonic(), threading.Event()

    def tick():
        while not done.wait(_TICK_SECONDS):
            say(f"  ... {time.monotonic() - started:.0f} s")

    say(f"compiling {what} ...")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()


if __name__ == "__main__":
    errors.run_cli(main)
