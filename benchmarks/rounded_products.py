"""What a device computes whose products round their factors: TF32 or bfloat16, emulated on a CPU."""

import functools
from collections.abc import Callable

import jax
from jax.extend.core import ClosedJaxpr, Literal

MANTISSA = {"tf32": 10, "bfloat16": 7}  # bits


def with_rounded_products(function: Callable, precision: str) -> Callable:
    """`function`, the factors of its every product of matrices rounded as `precision` says; it has no gradient."""

    @functools.wraps(function)
    def rounded(*args):
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        found = _run(traced, jax.tree.leaves(args), MANTISSA[precision])
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return rounded


def _run(traced: ClosedJaxpr, inputs: list, bits: int) -> list:
    values = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
    values |= dict(zip(traced.jaxpr.invars, inputs, strict=True))
    for equation in traced.jaxpr.eqns:
        given = [v.val if isinstance(v, Literal) else values[v] for v in equation.invars]
        if equation.primitive.name == "dot_general":
            given = [jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=bits) for x in given]
        inner = _inner(equation.params)
        if inner is not None:
            found = _run(inner, given, bits)
        else:
            found = equation.primitive.bind(*given, **equation.params)
        found = found if equation.primitive.multiple_results or inner is not None else [found]
        values.update(zip(equation.outvars, found, strict=True))
    return [v.val if isinstance(v, Literal) else values[v] for v in traced.jaxpr.outvars]


def _inner(params: dict) -> ClosedJaxpr | None:
    """What a call calls: a jitted, checkpointed or custom differentiated function, which takes its own arguments."""
    for name in ("jaxpr", "call_jaxpr"):
        inner = params.get(name)
        if inner is not None:
            return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
    assert not {"branches", "body_jaxpr"} & set(params), "loops and branches are not looked into"
    return None
