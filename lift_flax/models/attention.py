"""Multi-head attention, as ViT and the fusion levels use it."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.dense import Linear, wide


@jax.custom_vjp
def scores(q: Float[Array, "B S N D"], k: Float[Array, "B R N D"]) -> Float[Array, "B N S R"]:
    """Dot products of queries and keys, float32; the gradient's products are in the activations' dtype again."""
    return jnp.einsum("BSND,BRND->BNSR", q, k, preferred_element_type=wide(q))


def _scores_forward(q, k):
    return scores(q, k), (q, k)


def _scores_backward(saved, grad):
    q, k = saved
    grad = grad.astype(q.dtype)  # [B, N, S, R]
    return jnp.einsum("BNSR,BRND->BSND", grad, k), jnp.einsum("BNSR,BSND->BRND", grad, q)


scores.defvjp(_scores_forward, _scores_backward)


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

    def __call__(self, x: Float[Array, "B S E"], y: Float[Array, "B R E"]) -> Float[Array, "B S E"]:
        v = self._split(self.value(y))  # [B, R, N, D]
        mixed = jnp.einsum("BNSR,BRND->BSND", self.weights(x, y).astype(v.dtype), v)  # [B, S, N, D]
        return self.out(mixed.reshape(x.shape))  # [B, S, E]

    def weights(self, x: Float[Array, "B S E"], y: Float[Array, "B R E"]) -> Float[Array, "B N S R"]:
        """softmax(scale * q(x) k(y)^T): how much each head takes of every y for every x; float32, rows sum to 1."""
        q, k = self._split(self.query(x) * self.scale), self._split(self.key(y))  # [B, S, N, D], [B, R, N, D]
        return jax.nn.softmax(scores(q, k), axis=-1)  # [B, N, S, R]

    def _split(self, x: Float[Array, "B S E"]) -> Float[Array, "B S N D"]:
        b, s, e = x.shape
        return x.reshape(b, s, self.num_heads, e // self.num_heads)
