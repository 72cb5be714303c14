"""Tables of a conversion for people: every tensor, and a summary by stage."""

import collections
import io
import math

from rich import box
from rich.console import Console
from rich.table import Table

from lift_flax.weights.converted import ConvertedWeights

WIDTH = 400  # wider than any name: nothing is cut


def summary(weights: ConvertedWeights, source_tensors: int) -> str:
    """Tensors and numbers by stage, then which tensors are ignored and which parameters start anew, with reasons."""
    table = Table("stage", "arrays", "numbers", box=box.SIMPLE)
    arrays, numbers = collections.Counter(), collections.Counter()
    for entry in weights.entries:
        arrays[entry.stage] += 1
        numbers[entry.stage] += math.prod(weights.arrays[entry.ours].shape)
    for stage in arrays:
        table.add_row(stage, str(arrays[stage]), f"{numbers[stage]:,}")
    table.add_section()
    table.add_row("all", str(arrays.total()), f"{numbers.total():,}")
    parameters = sum(math.prod(a.shape) for name, a in weights.arrays.items() if name.startswith("params/"))
    ignored, new = collections.Counter(weights.ignored.values()), collections.Counter(weights.new.values())
    lines = [f"{count} tensors ignored: {reason}" for reason, count in ignored.items()]
    lines += [f"{count} parameters start anew: {reason}" for reason, count in new.items()]
    counted = (
        f"{source_tensors} tensors in the file; {parameters:,} parameters, {numbers.total() - parameters:,} statistics"
    )
    return _text(table) + "\n".join([counted, *lines]) + "\n"


def details(weights: ConvertedWeights) -> str:
    """One row for every tensor of the file and for every parameter here."""
    table = Table("stage", "tensor of the file", "parameter here", "shape here", box=box.SIMPLE)
    for entry in weights.entries:
        table.add_row(entry.stage, entry.theirs, entry.ours, _shape(weights.arrays[entry.ours].shape))
    for name, reason in weights.ignored.items():
        table.add_row("", name, f"ignored: {reason}", "")
    for name, reason in weights.new.items():
        table.add_row("", f"none: {reason}", name, "")
    return _text(table)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _text(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=WIDTH, highlight=False, markup=False).print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())
