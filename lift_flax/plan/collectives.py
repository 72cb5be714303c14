"""Counts what a compiled program sends between devices, from the compiler's text (`compiled.as_text()`).

TPU compilers write a reduce-scatter as an all-reduce in a computation named "all-reduce-scatter", and a collective that
runs beside other work as several copies with one channel number, some of them in fusions; CPU compilers know no
reduce-scatter, they slice the result of an all-reduce, and give all sums of `jax.shard_map` one channel number.
"""

import dataclasses
import math
import re

KINDS = ("all-reduce", "reduce-scatter", "all-gather", "collective-permute", "all-to-all")

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r" ([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"\b([a-z]+[0-9][a-z0-9]*|pred)\[([\d,]*)\]")
_CALLED = re.compile(r"\b(calls|to_apply|body|condition|\w*computations?)=\{?((?:%[\w.\-]+(?:, )?)+)")
_NAME = re.compile(r"%([\w.\-]+)")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    type: str  # "f32[4,8]{1,0}", or several in brackets
    opcode: str
    operands: str
    attributes: str


def collective_bytes(hlo_text: str) -> dict[str, dict]:
    """What one run of a program exchanges, by kind of collective.

    A collective within a loop counts once for every turn (of `jax.lax.scan`: its length; a loop of unknown length
    counts as one turn), every branch of a conditional once.

    Args:
      hlo_text: of a program compiled for several devices.
    Returns:
      For each of `KINDS`: "count", the collectives that one device takes part in; "bytes", the size of the arrays that
      they sum (all-reduce, reduce-scatter), make (all-gather) or move (the others), whole, on one device; "dtypes",
      those bytes by element type ("f32", "bf16", ...).
    """
    computations, entry = _parse(hlo_text)
    runs = _runs(computations, entry)
    copied = _copied_channels(computations)
    collectives: dict[str, tuple[str, int, dict[str, int]]] = {}  # the copies of one collective count once
    for name, body in computations.items():
        types = {i.name: i.type for i in body}
        for instruction in body:
            kind = _kind(instruction, name)
            if kind and runs[name]:
                channel = _channel(instruction)
                key = channel if channel and channel in copied else f"{name}/{instruction.name}"
                times = max(runs[name], collectives[key][1] if key in collectives else 0)
                collectives[key] = (kind, times, _sizes(instruction, types))
    total = {kind: {"count": 0, "bytes": 0, "dtypes": {}} for kind in KINDS}
    for kind, times, sizes in collectives.values():
        total[kind]["count"] += times
        total[kind]["bytes"] += times * sum(sizes.values())
        for dtype, size in sizes.items():
            total[kind]["dtypes"][dtype] = total[kind]["dtypes"].get(dtype, 0) + times * size
    return total


def _channel(instruction: _Instruction) -> str | None:
    match = _CHANNEL.search(instruction.attributes)
    return match[1] if match else None


def _copied_channels(computations: dict[str, list[_Instruction]]) -> set[str | None]:
    """Channel numbers of collectives that occur within fusions."""
    fusions = (
        i for body in computations.values() for i in body if i.opcode in ("fusion", "custom-call", "async-start")
    )
    fused = {name for i in fusions for _, names in _CALLED.findall(i.attributes) for name in _NAME.findall(names)}
    inside = (i for name in fused if name in computations for i in computations[name] if _kind(i, name))
    return {_channel(instruction) for instruction in inside} - {None}


def _parse(text: str) -> tuple[dict[str, list[_Instruction]], str]:
    """({computation: its instructions}, the entry's name), called computations before their callers."""
    computations, entry, body = {}, "", []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            body = computations[header[2]] = []
            entry = header[2] if header[1] else entry
        elif (parts := _INSTRUCTION.match(line)) and (opcode := _OPCODE.search(" " + parts[2])):
            rest = (" " + parts[2])[opcode.end() :]
            end = rest.find(")")  # operands are names
            body.append(_Instruction(parts[1], parts[2][: opcode.start()], opcode[1], rest[:end], rest[end:]))
    return computations, entry


def _runs(computations: dict[str, list[_Instruction]], entry: str) -> dict[str, int]:
    """How often each computation runs when the program runs once."""
    runs = dict.fromkeys(computations, 0)
    runs[entry] = 1
    for name in reversed(computations):
        for instruction in computations[name]:
            if instruction.opcode in ("async-update", "async-done"):
                continue  # they name again what async-start has called
            called = {key: _NAME.findall(names) for key, names in _CALLED.findall(instruction.attributes)}
            times = _trip_count(instruction, called, computations) if instruction.opcode == "while" else 1
            for callee in (c for names in called.values() for c in names if c in runs):
                runs[callee] += runs[name] * times
    return runs


def _trip_count(loop: _Instruction, called: dict[str, list[str]], computations) -> int:
    """Turns of a loop: as the compiler states them, else the constant that a counter from 0 is compared with."""
    if known := _TRIPS.search(loop.attributes):
        return int(known[1])
    condition = computations[called["condition"][0]]
    constants = {i.name: int(i.operands) for i in condition if i.opcode == "constant" and i.operands.isdigit()}
    for compare in (i for i in condition if i.opcode == "compare" and "direction=LT" in i.attributes):
        for name in _NAME.findall(compare.operands):
            if name in constants:
                return constants[name]
    return 1


def _kind(instruction: _Instruction, computation: str) -> str | None:
    kind = instruction.opcode.removesuffix("-start")
    if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        return "reduce-scatter"
    return kind if kind in KINDS else None


def _sizes(instruction: _Instruction, types: dict[str, str]) -> dict[str, int]:
    """Bytes by element type: of the operands, of an all-gather's results."""
    operands = _array_bytes(" ".join(types[name] for name in _NAME.findall(instruction.operands)))
    if not instruction.opcode.startswith("all-gather"):
        return operands
    results = _array_bytes(instruction.type)
    if instruction.opcode.endswith("-start"):  # its type names the operands too
        return {dtype: size - operands.get(dtype, 0) for dtype, size in results.items()}
    return results


def _array_bytes(types: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for dtype, dims in _ARRAY.findall(types):
        count = math.prod(int(d) for d in dims.split(",") if d)
        sizes[dtype] = sizes.get(dtype, 0) + -(-count * _bits(dtype) // 8)
    return sizes


def _bits(dtype: str) -> int:
    """32 for "f32", 16 for "bf16", 8 for "f8e4m3fn" and "pred"."""
    return 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
