"""LayerNorm and BatchNorm, computed in float32 for activations of any precision and given back in theirs.

Parameters, statistics, running averages and the sums of gradients are float32.  Names and numbers are those of
nnx.LayerNorm and nnx.BatchNorm, which would return float32 here.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def _scale_and_bias(features: int, rngs: nnx.Rngs) -> tuple[nnx.Param, nnx.Param]:
    """Ones and zeros; each draws a key, as in Flax's own norms."""
    scale = jax.nn.initializers.ones(rngs.params(), (features,), jnp.float32)
    return nnx.Param(scale), nnx.Param(jax.nn.initializers.zeros(rngs.params(), (features,), jnp.float32))


def _moments(x: Float[Array, "..."], axes: tuple[int, ...]) -> tuple[Array, Array]:
    """(mean, variance) over `axes`, kept with size 1; both in one pass over x."""
    mean, square = x.mean(axes, keepdims=True), (x * x).mean(axes, keepdims=True)
    return mean, jnp.maximum(0.0, square - mean * mean)


class LayerNorm(nnx.Module):
    """(x - mean) / sqrt(variance + eps) * scale + bias, over the last axis."""

    def __init__(self, features: int, *, eps: float, rngs: nnx.Rngs):
        self.scale, self.bias = _scale_and_bias(features, rngs)
        self.eps = eps

    def __call__(self, x: Float[Array, "*rows E"]) -> Float[Array, "*rows E"]:
        wide = x.astype(jnp.float32)
        mean, var = _moments(wide, (-1,))  # [*rows, 1]
        y = (wide - mean) * (jax.lax.rsqrt(var + self.eps) * self.scale[...]) + self.bias[...]
        return y.astype(x.dtype)


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
        wide = x.astype(jnp.float32)
        mean, var = self.mean[...], self.var[...]
        if train:
            mean, var = (m.reshape(-1) for m in _moments(wide, tuple(range(x.ndim - 1))))  # [C]
            self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean
            self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * var
        y = (wide - mean) * (jax.lax.rsqrt(var + self.eps) * self.scale[...]) + self.bias[...]
        return y.astype(x.dtype)
