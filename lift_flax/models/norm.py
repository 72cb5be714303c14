"""LayerNorm and BatchNorm, computed in float32 for activations of any precision and given back in theirs.

Parameters, statistics, running averages and the sums of gradients are float32.  Names and numbers are those of
nnx.LayerNorm and nnx.BatchNorm, which would return float32 here.  For the gradient only the input is kept, with its
moments: plain differentiation would also keep the input less its mean, which is as large.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.dense import wide


def _scale_and_bias(features: int, rngs: nnx.Rngs) -> tuple[nnx.Param, nnx.Param]:
    """Ones and zeros; each draws a key, as in Flax's own norms."""
    scale = jax.nn.initializers.ones(rngs.params(), (features,), jnp.float32)
    return nnx.Param(scale), nnx.Param(jax.nn.initializers.zeros(rngs.params(), (features,), jnp.float32))


def _moments(x: Float[Array, "..."], axes: tuple[int, ...]) -> tuple[Array, Array]:
    """(mean, variance) over `axes`, kept with size 1; both in one pass over x."""
    mean, square = x.mean(axes, keepdims=True), (x * x).mean(axes, keepdims=True)
    return mean, jnp.maximum(0.0, square - mean * mean)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _normalise(x, scale, bias, axes, eps) -> tuple[Array, Array, Array]:
    """(x normalised over `axes`, its mean, its variance); the moments are not differentiated."""
    y = x.astype(wide(x))
    mean, var = _moments(y, axes)
    return ((y - mean) * (jax.lax.rsqrt(var + eps) * scale) + bias).astype(x.dtype), mean, var


def _normalise_forward(x, scale, bias, axes, eps):
    y, mean, var = _normalise(x, scale, bias, axes, eps)
    return (y, mean, var), (x, scale, mean, jax.lax.rsqrt(var + eps))


def _normalise_backward(axes, eps, saved, grads):
    del eps
    x, scale, mean, factor = saved
    x, grad = jax.lax.optimization_barrier((x, grads[0]))  # or the compiler would keep x - mean from before
    rows, grad = tuple(range(x.ndim - 1)), grad.astype(wide(x))
    y = (x.astype(wide(x)) - mean) * factor
    dscale, dbias = (grad * y).sum(rows), grad.sum(rows)  # [C]
    if axes == rows:
        along_y, along_1 = scale * dscale / (x.size // x.shape[-1]), scale * dbias / (x.size // x.shape[-1])
    else:
        along_y, along_1 = (g.mean(axes, keepdims=True) for g in (grad * scale * y, grad * scale))
    dx = factor * (grad * scale - along_1 - y * along_y)
    return dx.astype(x.dtype), dscale, dbias


_normalise.defvjp(_normalise_forward, _normalise_backward)


class LayerNorm(nnx.Module):
    """(x - mean) / sqrt(variance + eps) * scale + bias, over the last axis."""

    def __init__(self, features: int, *, eps: float, rngs: nnx.Rngs):
        self.scale, self.bias = _scale_and_bias(features, rngs)
        self.eps = eps

    def __call__(self, x: Float[Array, "*rows E"]) -> Float[Array, "*rows E"]:
        return _normalise(x, self.scale[...], self.bias[...], (x.ndim - 1,), self.eps)[0]


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
            y, *moments = _normalise(x, self.scale[...], self.bias[...], tuple(range(x.ndim - 1)), self.eps)
            mean, var = (moment.reshape(-1) for moment in moments)  # [C]
            self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean
            self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * var
            return y
        y = x.astype(wide(x)) - self.mean[...]
        y = y * (jax.lax.rsqrt(self.var[...] + self.eps) * self.scale[...]) + self.bias[...]
        return y.astype(x.dtype)
