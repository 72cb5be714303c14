"""How exactly products are computed on accelerators, which round the factors of float32 products unless they are asked.

On a CPU all three are float32.  A gradient multiplies as exactly as what it is the gradient of.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import jax

Precision = Literal["float32", "tf32", "bfloat16"]

# "high" is TF32 on NVIDIA's GPUs and three products of bfloat16 on TPUs, which is about as exact.  Factors that are
# bfloat16 already lose nothing.
_OF_JAX = {"float32": "highest", "tf32": "high", "bfloat16": "default"}


def products(precision: Precision) -> AbstractContextManager:
    """What is traced within multiplies in `precision`."""
    return jax.default_matmul_precision(_OF_JAX[precision])


def exact(function: Callable) -> Callable:
    """`function` with float32 products, which is what all that follows the trunks has on every device."""

    @functools.wraps(function)
    def exactly(*args, **kwargs):
        with products("float32"):
            return function(*args, **kwargs)

    return exactly


def as_chosen(method: Callable) -> Callable:
    """A method of a trunk with products in the trunk's own `precision`."""

    @functools.wraps(method)
    def chosen(self, *args, **kwargs):
        with products(self.precision):
            return method(self, *args, **kwargs)

    return chosen


def custom_vjp(function: Callable, forward: Callable, backward: Callable, *, static: int = 0, symbolic_zeros=False):
    """`jax.custom_vjp` whose `backward` has the precision of products that the call of `function` had.

    JAX traces it later, outside of the context of that call.

    Args:
      static: how many of the first arguments are not arrays; `backward` gets them first.
    """

    def at(precision: str | None, function: Callable) -> Callable[..., Any]:
        def call(*args):
            with jax.default_matmul_precision(precision):
                return function(*args)

        return call

    @functools.partial(jax.custom_vjp, nondiff_argnums=tuple(range(static + 1)))
    def with_precision(precision, *args):
        return at(precision, function)(*args)

    def forward_with_precision(precision, *args):
        return at(precision, forward)(*args)

    def backward_with_precision(precision, *args):
        return at(precision, backward)(*args)

    with_precision.defvjp(forward_with_precision, backward_with_precision, symbolic_zeros=symbolic_zeros)

    @functools.wraps(function)
    def call(*args):
        # jax makes this attribute when it is imported
        return with_precision(jax.config.jax_default_matmul_precision, *args)  # pyright: ignore[reportAttributeAccessIssue]

    return call
