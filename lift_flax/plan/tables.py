"""What `lift-flax plan` prints: the table, the verdict, and what to try where a step does not fit."""

from rich.console import Console
from rich.table import Table

from lift_flax.config import Config, Remat
from lift_flax.plan.collectives import KINDS
from lift_flax.plan.compile_step import PARTS
from lift_flax.plan.flops import OTHER
from lift_flax.plan.topologies import GIB


def verdict(needed: int | None, fits: bool, memory: int) -> str:
    """One line on the memory of a device."""
    if needed is None:
        return f"does not fit: the compiler refuses it ({_gib(memory)} per device)"
    word = "fits: needs" if fits else "does not fit: needs"
    return f"{word} {needed / GIB:.2f} of {_gib(memory)} per device"


def remat(fields: Remat) -> str:
    """The parts that are computed again: "off", "on" for all of them, or their names."""
    parts = [name for name in ("trunk", "pvit", "levels") if getattr(fields, name)]
    return "on" if len(parts) == 3 else "+".join(parts) or "off"


def advice(config: Config, phase: str, devices: int) -> list[str]:
    """Flags that save memory, the cheapest first, each to be added to those before it."""
    train, ways = config.train, []
    trunk_trains = phase != "student" or not train.distill or train.trunk == "finetune"
    pvit_trains = phase != "teacher" and config.model.pvit.unfreeze != "none"
    matter = {"trunk": trunk_trains, "pvit": pvit_trains, "levels": phase == "student"}
    ways += [f"--config.train.remat.{p}=True" for p, does in matter.items() if does and not getattr(train.remat, p)]
    if train.precision != "bfloat16":
        ways.append("--config.train.precision=bfloat16")
    if config.mesh.fsdp == 1 and devices > 1:
        ways.append(f"--config.mesh.fsdp={max(n for n in range(1, 9) if devices % n == 0)}")
    per_device, parts = train.batch_size // devices, train.accumulate
    if per_device % (2 * parts) == 0:
        parts *= 2
        ways.append(f"--config.train.accumulate={parts}")
    if smaller := per_device // 2 // parts * parts:
        ways.append(f"--config.train.batch_size={smaller * devices}")
    return ways


def show(report: dict) -> None:
    """Prints the table, one column per compiled program."""
    programs, mesh = report["programs"], report["mesh"]
    print(
        f"{report['topology']}: {report['devices']} x {report['device']}, {_gib(report['device_memory'])} each, "
        f"{report['processes']} process{'es' if report['processes'] > 1 else ''}, "
        f"mesh data={mesh['data']} fsdp={mesh['fsdp']}\n"
        f"{report['dataset']}, {report['num_classes'] or 'no'} classes, {report['precision']}, "
        f"batch {report['batch_size']} "
        f"({report['batch_size'] // report['devices']} per device, accumulate {report['accumulate']})"
    )
    table = Table("", *[f"{p['phase']}\nremat {remat(Remat(**p['remat']))}" for p in programs])
    for column in table.columns[1:]:
        column.justify = "right"
    for title, cells in _rows(programs, report["device_memory"]):
        if cells is None:
            table.add_section()
            table.add_row(f"[bold]{title}")
        elif any(cells):
            table.add_row(title, *cells)
    Console(width=None if Console().is_terminal else 110).print(table)
    for p in (p for p in programs if not p["fits"]):
        print(f"{p['phase']}, remat {remat(Remat(**p['remat']))}: to make it fit, try {' then '.join(p['advice'])}")


def _rows(programs: list[dict], memory: int):
    """(title, one cell per program), or (title, None) for a heading."""
    yield "fits", ["yes" if p["fits"] else "NO" for p in programs]
    if any("largest_batch" in p for p in programs):
        yield "largest batch that fits", [str(p["largest_batch"] or "none") for p in programs]
    yield "memory of a device", None
    yield "needed", [_gib(p["needed"]) if p["needed"] is not None else "refused" for p in programs]
    for kind in ("arguments", "temporaries", "outputs", "program", "peak"):
        yield f"  {kind}", [_gib(p["memory"][kind]) if p["memory"] else "" for p in programs]
    yield "there are", [_gib(memory)] * len(programs)
    yield "GFLOP per example", None
    for kind in ("forward", "step"):
        counts = [p["flops_per_example"][kind] for p in programs]
        yield kind, [f"{sum(c.values()) / 1e9:,.1f}" for c in counts]
        for part in (*PARTS, OTHER):
            yield f"  {part}", [f"{c[part] / 1e9:,.1f}" if c.get(part) else "" for c in counts]
    yield "sent per step", None
    for kind in KINDS:
        yield kind, [_sent(p["collectives"].get(kind)) for p in programs]
    yield "compiled in", [f"{p['seconds']:.0f} s" for p in programs]


def _sent(collective: dict | None) -> str:
    if not collective or not collective["count"]:
        return ""
    types = "+".join(sorted(collective["dtypes"]))
    return f"{collective['bytes'] / 2**20:,.1f} MiB {types} in {collective['count']}"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
