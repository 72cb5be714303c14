"""Floating-point operations of a function, counted on its jaxpr: products, convolutions and FFTs.

Compilers' own counts take the body of a loop once, and GPU compilers give none.  Elementwise work is left out: beside
the products of these networks it is small.
"""

import math
import re
from collections.abc import Callable, Sequence

import jax

OTHER = "other"


def count_flops(function: Callable, *args, parts: Sequence[str] = ()) -> dict[str, int]:
    """Operations of one call of `function`, a multiply-add being two.

    Args:
      function: traced, never run.
      args: arrays or shapes.
      parts: names of `jax.named_scope`; work belongs to the outermost of them that it stands in, its gradient too.
    Returns:
      {part: operations}, with "other" for what stands in none of `parts`; only parts with work.  A loop of known length
      counts every turn, of unknown length (`while_loop`) one; of the branches of a conditional the dearest counts, of
      ways to compute the same on certain devices that for all others.
      What runs on every device of a `shard_map` counts for each.  Work that nothing depends on does not count.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr, tuple(parts), OTHER)


def _of_jaxpr(jaxpr, parts: tuple[str, ...], part: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for equation in _live(jaxpr):
        own = _part(str(equation.source_info.name_stack), parts, part)
        _add(total, _of_equation(equation, parts, own), 1)
    return total


def _live(jaxpr) -> list:
    """Equations that something depends on: unused gradients are in a jaxpr, but never computed."""
    used, live = set(map(id, jaxpr.outvars)), []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not used.isdisjoint(map(id, equation.outvars)):
            used.update(map(id, equation.invars))
            live.append(equation)
    return live


def _of_equation(equation, parts: tuple[str, ...], part: str) -> dict[str, int]:
    name, params = equation.primitive.name, equation.params
    if name in _COUNTS:
        return {part: _COUNTS[name](equation)}
    inner = [_of_jaxpr(jaxpr, parts, part) for jaxpr in _jaxprs(params)]
    if name == "cond" and None in (platforms := params.get("branches_platforms") or ()):
        return inner[platforms.index(None)]
    if name == "cond":
        return max(inner, key=lambda counts: sum(counts.values()), default={})
    times = {"scan": lambda: params["length"], "shard_map": lambda: params["mesh"].size}.get(name, lambda: 1)()
    total: dict[str, int] = {}
    for counts in inner:
        _add(total, counts, times)
    return total


def _jaxprs(params: dict) -> list:
    """The jaxprs among an equation's parameters, alone or in tuples."""
    values = [v for value in params.values() for v in (value if isinstance(value, (tuple, list)) else (value,))]
    return [v for v in values if hasattr(v, "eqns")]


def _part(name_stack: str, parts: tuple[str, ...], inherited: str) -> str:
    """The outermost of `parts` in "transpose(jvp(trunk))/layer1"; an inner jaxpr's names go on from its caller's."""
    if inherited != OTHER:
        return inherited
    return next((word for word in re.findall(r"\w+", name_stack) if word in parts), OTHER)


def _add(total: dict[str, int], counts: dict[str, int], times: int) -> None:
    for part, count in counts.items():
        total[part] = total.get(part, 0) + times * count


def _dot_general(equation) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, out = equation.invars[0].aval, equation.outvars[0].aval
    return _multiply_add(out) * out.size * math.prod(left.shape[i] for i in contracted)


def _convolution(equation) -> int:
    """Zeros that a stride has put between the inputs (in gradients) are no work; zeros of the padding are."""
    params = equation.params
    kernel, out = equation.invars[1].aval, equation.outvars[0].aval
    _, inputs, *space = params["dimension_numbers"].rhs_spec
    per_output = kernel.shape[inputs] * math.prod(kernel.shape[i] for i in space)
    inserted = math.prod(params["lhs_dilation"]) * params["batch_group_count"]
    return _multiply_add(out) * out.size * per_output // inserted


def _fft(equation) -> int:
    """5 N log2 N for a complex transform, half of it where one side is real."""
    lengths, kind = equation.params["fft_lengths"], equation.params["fft_type"].name
    size = math.prod(lengths)
    real = kind in ("RFFT", "IRFFT")
    signal = equation.outvars[0].aval if kind == "IRFFT" else equation.invars[0].aval
    return round((2.5 if real else 5) * signal.size * math.log2(size))


def _multiply_add(aval) -> int:
    return 8 if aval.dtype.kind == "c" else 2


_COUNTS = {"dot_general": _dot_general, "conv_general_dilated": _convolution, "fft": _fft}
