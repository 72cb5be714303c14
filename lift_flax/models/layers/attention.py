"""Multi-head attention, as ViT and the fusion levels use it.

Heads stand before tokens, [B, N, S, D], while tokens are mixed: every compiler makes plain batched products of that.
The weights are not kept for the gradient but computed again; and they are divided by their sums only after the values
were mixed, so that the largest arrays are passed over once less (docs/performance.md).  jax.checkpoint in place of the
gradient by hand would multiply float32 by bfloat16 in all four of its products (README.md of this folder).
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.intermediates import Intermediates, keep
from lift_flax.models.layers.dense import Linear, accumulation_dtype, along_channels
from lift_flax.models.layers.precision import custom_vjp


def scores(q: Float[Array, "B N S D"], k: Float[Array, "B N R D"]) -> Float[Array, "B N S R"]:
    """Dot products of queries and keys, float32."""
    return jnp.einsum("BNSD,BNRD->BNSR", q, k, preferred_element_type=accumulation_dtype(q))


def attend(
    q: Float[Array, "B N S D"], k: Float[Array, "B N R D"], v: Float[Array, "B N R D"]
) -> Float[Array, "B N S D"]:
    """softmax(q k^T) v in the dtype of v; softmax and sums are float32."""
    return _attend(q, k, v)


def _mixed(q, k, v):
    s = scores(q, k)  # [B, N, S, R]
    e = jnp.exp(s - s.max(axis=-1, keepdims=True))
    mixed = jnp.einsum(
        "BNSR,BNRD->BNSD", e.astype(v.dtype), v, preferred_element_type=accumulation_dtype(v)
    )  # [B, N, S, D]
    return (mixed / e.sum(axis=-1, keepdims=True)).astype(v.dtype)


def _attend_forward(q, k, v):
    return _mixed(q, k, v), (q, k, v)


def _attend_backward(saved, grad):
    q, k, v, grad = jax.lax.optimization_barrier((*saved, grad))  # stops CSE: otherwise XLA keeps the scores
    p = jax.nn.softmax(scores(q, k), axis=-1)  # [B, N, S, R]
    dp = scores(grad, v)
    ds = (p * (dp - (dp * p).sum(axis=-1, keepdims=True))).astype(q.dtype)
    dq, dk = jnp.einsum("BNSR,BNRD->BNSD", ds, k), jnp.einsum("BNSR,BNSD->BNRD", ds, q)
    return dq, dk, jnp.einsum("BNSR,BNSD->BNRD", p.astype(grad.dtype), grad)


_attend = custom_vjp(_mixed, _attend_forward, _attend_backward)


class MultiHeadAttention(nnx.Module):
    """softmax(scale * q(x) k(y)^T) v(y), heads side by side, then a linear output; x = y gives self-attention.

    Args:
      dim: E, of queries, keys, values and output.
      num_heads: heads; each has E / num_heads channels.
      scale: factor of the dot products; None is 1/sqrt(E / num_heads).
      qkv_bias: whether queries, keys and values have biases.
    """

    def __init__(self, dim: int, num_heads: int, *, scale: float | None = None, qkv_bias: bool = True, rngs: nnx.Rngs):
        def linear(bias):
            return Linear(dim, dim, use_bias=bias, kernel_init=jax.nn.initializers.xavier_uniform(), rngs=rngs)

        self.query, self.key, self.value = linear(qkv_bias), linear(qkv_bias), linear(qkv_bias)
        self.out = linear(True)
        self.num_heads = num_heads
        self.scale = 1 / math.sqrt(dim // num_heads) if scale is None else scale

    def __call__(
        self, x: Float[Array, "B S E"], y: Float[Array, "B R E"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B S E"]:
        """Mixes y for each x.

        Intermediates:
          "attention" [B, N, S, R]: the softmax, how much each head takes of every y for every x.  It is float32, and
            its rows sum to 1.
        """
        q, k = self._split(self.query(x) * self.scale), self._split(self.key(y))  # [B, N, S, D], [B, N, R, D]
        if intermediates is not None:
            keep(intermediates, "attention", jax.nn.softmax(scores(q, k), axis=-1))
        mixed = attend(q, k, self._split(self.value(y)))  # [B, N, S, D]
        return self.out(mixed.swapaxes(1, 2).reshape(x.shape))  # [B, S, E]

    def attend_one_query(
        self, x: Float[Array, "B S E"], y: Float[Array, "B R E"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B S E"]:
        """Computes this attention without making keys and values of y, for an S that is far smaller than R.

        q (y W)^T is (q W^T) y^T, and p (y W) is (p y) W.  What a key's bias adds to the scores is the same for all of
        y, which softmax does not see.  Beside y itself all is float32: it is as small as x.
        """
        q = self._split((self.query(x) * self.scale).astype(accumulation_dtype(x)))  # [B, N, S, D]
        to_keys, to_values = (self._by_head(linear.kernel[...]) for linear in (self.key, self.value))  # [E, N, D]
        q = jnp.einsum("BNSD,END->BSNE", q, to_keys).astype(y.dtype)  # [B, S, N, E]
        p = jax.nn.softmax(jnp.einsum("BSNE,BRE->BSNR", q, y, preferred_element_type=accumulation_dtype(y)), axis=-1)
        keep(intermediates, "attention", p.swapaxes(1, 2))
        mixed = jnp.einsum("BSNR,BRE->BSNE", p.astype(y.dtype), y, preferred_element_type=accumulation_dtype(y))
        mixed = jnp.einsum("BSNE,END->BSND", mixed, to_values).reshape(x.shape)  # [B, S, E]
        if self.value.bias is not None:
            mixed += along_channels(self.value.bias[...], mixed)
        return self.out(mixed.astype(x.dtype))  # [B, S, E]

    def _split(self, x: Float[Array, "B S E"]) -> Float[Array, "B N S D"]:
        return self._by_head(x).swapaxes(-2, -3)

    def _by_head(self, x: Float[Array, "*rows E"]) -> Float[Array, "*rows N D"]:
        return x.reshape(*x.shape[:-1], self.num_heads, -1)
