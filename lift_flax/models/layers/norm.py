"""LayerNorm and BatchNorm: computed in float32 for activations of any precision, which the result has too.

Parameters, statistics, running averages and the sums of gradients are float32.  Names and numbers are those of
nnx.LayerNorm and nnx.BatchNorm, which would return float32 here.  For the gradient only the input is kept, with its
moments: plain differentiation would also keep the input less its mean, which is as large.  jax.checkpoint in its place
was measured: 17 % more memory in a ViT's blocks, 1.07 of the time of an R(2+1)D's step (README.md of this folder).
"""

from typing import Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.layers.dense import accumulation_dtype, along_channels, sum_of_rows

Over = Literal["channels", "batch", "plane"]  # the last axis; all but the last; all but the first


def _scale_and_bias(features: int, rngs: nnx.Rngs) -> tuple[nnx.Param, nnx.Param]:
    """Ones and zeros; each draws a key, as in Flax's own norms."""
    scale = jax.nn.initializers.ones(rngs.params(), (features,), jnp.float32)
    return nnx.Param(scale), nnx.Param(jax.nn.initializers.zeros(rngs.params(), (features,), jnp.float32))


def _means(x: Float[Array, "*rows C"], over: Over) -> Float[Array, "..."]:
    """Means over the axes that `over` names; the axes stay, with size 1."""
    if over == "batch":
        return along_channels(sum_of_rows(x) / (x.size // x.shape[-1]), x)
    return x.mean(-1 if over == "channels" else tuple(range(1, x.ndim)), keepdims=True)


def _normalised(x, scale, bias, over, eps) -> tuple[Array, Array, Array]:
    """(x normalised, its mean, its variance); the moments are not differentiated."""
    y = x.astype(accumulation_dtype(x))
    mean = _means(y, over)
    var = jnp.maximum(0.0, _means(y * y, over) - mean * mean)  # both in one pass over x
    scale, bias = along_channels(scale, x), along_channels(bias, x)
    return ((y - mean) * (jax.lax.rsqrt(var + eps) * scale) + bias).astype(x.dtype), mean, var


_normalise = jax.custom_vjp(_normalised, nondiff_argnums=(3, 4))


def _normalise_forward(x, scale, bias, over, eps):
    y, mean, var = _normalise(x, scale, bias, over, eps)
    return (y, mean, var), (x, scale, mean, jax.lax.rsqrt(var + eps))


def _normalise_backward(over, eps, saved, grads):
    del eps
    x, scale, mean, factor = saved
    x, grad = jax.lax.optimization_barrier((x, grads[0]))  # stops CSE: otherwise XLA keeps x - mean
    grad = grad.astype(accumulation_dtype(x))
    y = (x.astype(accumulation_dtype(x)) - mean) * factor
    dscale, dbias = sum_of_rows(grad * y), sum_of_rows(grad)  # [C]
    scale_row = along_channels(scale, x)
    if over == "batch":
        count = x.size // x.shape[-1]
        along_y, along_1 = (along_channels(scale * total / count, x) for total in (dscale, dbias))
    else:
        along_y, along_1 = _means(grad * scale_row * y, over), _means(grad * scale_row, over)
    dx = factor * (grad * scale_row - along_1 - y * along_y)
    return dx.astype(x.dtype), dscale, dbias


_normalise.defvjp(_normalise_forward, _normalise_backward)


@runtime_checkable
class Norm(Protocol):
    """A BatchNorm, or what folding leaves of it (lift_flax/models/fold_batch_norm.py)."""

    def __call__(self, x: Float[Array, "*rows C"], *, train: bool) -> Float[Array, "*rows C"]: ...


class LayerNorm(nnx.Module):
    """(x - mean) / sqrt(variance + eps) * scale + bias, over the last axis, or over all but the first ("plane").

    Scale and bias are those of the last axis either way.
    """

    def __init__(self, features: int, *, eps: float, over: Literal["channels", "plane"] = "channels", rngs: nnx.Rngs):
        self.scale, self.bias = _scale_and_bias(features, rngs)
        self.eps, self.over = eps, over

    def __call__(self, x: Float[Array, "*rows E"]) -> Float[Array, "*rows E"]:
        return _normalise(x, self.scale[...], self.bias[...], self.over, self.eps)[0]


class BatchNorm(nnx.Module):
    """(x - mean) / sqrt(variance + eps) * scale + bias for every channel, over all axes but the last.

    Training uses the batch's statistics (of the global batch, on any number of devices) and moves the running ones:
    running = momentum * running + (1 - momentum) * batch, with the biased variance.
    """

    def __init__(self, features: int, *, eps: float, momentum: float, rngs: nnx.Rngs):
        self.mean = nnx.BatchStat(jnp.zeros((features,), jnp.float32))
        self.var = nnx.BatchStat(jnp.ones((features,), jnp.float32))
        self.scale, self.bias = _scale_and_bias(features, rngs)
        self.eps, self.momentum = eps, momentum

    def __call__(self, x: Float[Array, "*rows C"], *, train: bool) -> Float[Array, "*rows C"]:
        if train:
            y, mean, var = _normalise(x, self.scale[...], self.bias[...], "batch", self.eps)
            self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean.reshape(-1)
            self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * var.reshape(-1)
            return y
        factor = jax.lax.rsqrt(self.var[...] + self.eps) * self.scale[...]
        y = x.astype(accumulation_dtype(x)) - along_channels(self.mean[...], x)
        return (y * along_channels(factor, x) + along_channels(self.bias[...], x)).astype(x.dtype)
