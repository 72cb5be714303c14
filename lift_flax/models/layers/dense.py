"""Linear maps of the last axis: float32 parameters, activations of any precision.

The rule of all modules here: parameters are float32 and outputs have the dtype of their input.  A product takes the
kernel in the activations' dtype, but gives the kernel's gradient as float32 directly, so that its sum over the batch,
and over devices, is a float32 sum.  Differentiating a cast kernel would sum in bfloat16 and cast afterwards.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.layers.precision import custom_vjp


def accumulation_dtype(array: Array) -> jnp.dtype:
    """The dtype of sums over `array`: float32, or float64 where the array is."""
    return jnp.dtype(jnp.float32) if array.dtype.itemsize < 4 else array.dtype


def along_channels(vector: Float[Array, "C"], x: Float[Array, "*rows C"]) -> Float[Array, "..."]:
    """`vector` with as many axes as `x`, its own the last: [1, .., C]."""
    return jnp.expand_dims(vector, range(x.ndim - 1))


def matmul(x: Float[Array, "*rows I"], kernel: Float[Array, "I O"]) -> Float[Array, "*rows O"]:
    """x @ kernel in x's dtype, with a float32 gradient of the kernel (none at all where the kernel is frozen)."""
    return _matmul(x, kernel)


def _product(x, kernel):
    return x @ kernel.astype(x.dtype)


def _forward(x, kernel):
    saved = x.value if kernel.perturbed else None, kernel.value if x.perturbed else None
    return _product(x.value, kernel.value), saved


def _backward(saved, grad):
    x, kernel = saved
    dx = dkernel = None
    if kernel is not None:
        dx = jax.lax.dot_general(grad, kernel.astype(grad.dtype), (((grad.ndim - 1,), (1,)), ((), ())))  # [*rows, I]
    if x is not None:
        x, grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])  # [rows, I], [rows, O]
        dkernel = jax.lax.dot_general(
            x, grad, (((0,), (0,)), ((), ())), preferred_element_type=accumulation_dtype(x)
        )  # [I, O]
    return dx, dkernel


_matmul = custom_vjp(_product, _forward, _backward, symbolic_zeros=True)


def sum_of_rows(x: Float[Array, "*rows C"]) -> Float[Array, "C"]:
    """The sum over all axes but the last."""
    return jax.lax.platform_dependent(x, cpu=_sum_on_cpu, default=lambda x: x.sum(range(x.ndim - 1)))


def _sum_on_cpu(x: Float[Array, "*rows C"]) -> Float[Array, "C"]:
    """A product with ones, for clips after a sum over up to 16 frames.

    XLA's CPU compiler takes ten times as long over a sum over more than 32 rows, and up to twice as long over one of
    more than 16 where each term is a gradient's long formula.
    """
    if x.ndim == 5:
        b, t, h, w, c = x.shape
        frames = max(d for d in range(1, 17) if t % d == 0)
        x = x.reshape(b, t // frames, frames, h * w, c).sum(2)  # [B, T/frames, H*W, C]
    x = x.reshape(-1, x.shape[-1])  # [rows, C]
    return jnp.ones(len(x), x.dtype) @ x


@jax.custom_vjp
def add_bias(x: Float[Array, "*rows O"], bias: Float[Array, "O"]) -> Float[Array, "*rows O"]:
    """x + bias, added in float32, in x's dtype."""
    return (x.astype(accumulation_dtype(x)) + along_channels(bias, x)).astype(x.dtype)


def _add_bias_forward(x, bias):
    return add_bias(x, bias), None


def _add_bias_backward(_, grad):
    return grad, sum_of_rows(grad.astype(accumulation_dtype(grad)))


add_bias.defvjp(_add_bias_forward, _add_bias_backward)


@jax.checkpoint
def gelu(x: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
    """x times the normal distribution function of x, by erf, in float32; for the gradient only x is kept."""
    y = x.astype(accumulation_dtype(x))
    return (0.5 * y * (1 + jax.lax.erf(y * math.sqrt(0.5)))).astype(x.dtype)


class Linear(nnx.Module):
    """x @ kernel + bias.  Names, shapes and draws of random numbers are those of nnx.Linear."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        use_bias: bool = True,
        kernel_init: Callable = jax.nn.initializers.lecun_normal(),  # noqa: B008 (a pure function)
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (inputs, outputs), jnp.float32))
        self.bias = nnx.data(None)
        if use_bias:
            rngs.params()  # nnx.Linear draws a key for its bias too
            self.bias = nnx.Param(jnp.zeros((outputs,), jnp.float32))

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
        x = matmul(x, self.kernel[...])  # [*rows, O]
        return x if self.bias is None else add_bias(x, self.bias[...])
