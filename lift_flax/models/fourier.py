"""Fourier Enhancement: a trainable change of a sequence's spectrum (paper section III-E, Eqs. 3 and 4)."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Complex, Float

from lift_flax.models.norm import LayerNorm


def spectrum(x: Float[Array, "B S E"]) -> Complex[Array, "B S E"]:
    """Orthonormal 2D FFT over sequence and channels, always in float32 (no FFT exists in bfloat16)."""
    return _on_each_shard(functools.partial(jnp.fft.fft2, axes=(1, 2), norm="ortho"), x.astype(jnp.float32))


def from_spectrum(y: Complex[Array, "B S E"]) -> Float[Array, "B S E"]:
    """Real part of the orthonormal inverse 2D FFT."""
    return _on_each_shard(lambda y: jnp.fft.ifft2(y, axes=(1, 2), norm="ortho").real, y)


def _on_each_shard(transform, x):
    """Applies `transform` to each device's own rows.

    Left to the compiler, an FFT of a batch-sharded array gathers the whole batch on every GPU and CPU device.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return transform(x)
    rows = PartitionSpec(mesh.axis_names)
    return jax.shard_map(transform, in_specs=rows, out_specs=rows)(x)


class ComplexLinear(nnx.Module):
    """A linear map of complex vectors, kept as real and imaginary parts so that optimisers see real numbers."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        def init():
            return nnx.Param(jax.nn.initializers.normal((2 * dim) ** -0.5)(rngs.params(), (dim, dim), jnp.float32))

        self.kernel_re, self.kernel_im = init(), init()
        self.bias_re = nnx.Param(jnp.zeros((dim,), jnp.float32))
        self.bias_im = nnx.Param(jnp.zeros((dim,), jnp.float32))

    def __call__(self, re: Float[Array, "B S E"], im: Float[Array, "B S E"]) -> tuple[Array, Array]:
        kr, ki = self.kernel_re[...], self.kernel_im[...]
        return re @ kr - im @ ki + self.bias_re[...], re @ ki + im @ kr + self.bias_im[...]


class FourierEnhancement(nnx.Module):
    """Y = FFT(x); Y = LN(Y + MLP(Y)); x = Re(IFFT(Y)).

    NOTE(paper): the paper leaves open what an MLP and a LayerNorm of complex numbers are.  Here the MLP is complex with
    GELU on real and imaginary part, hidden width E; the LayerNorms act on real and imaginary part over E.
    """

    def __init__(self, dim: int, *, eps: float, rngs: nnx.Rngs):
        self.fc1 = ComplexLinear(dim, rngs=rngs)
        self.fc2 = ComplexLinear(dim, rngs=rngs)
        self.norm_re = LayerNorm(dim, eps=eps, rngs=rngs)
        self.norm_im = LayerNorm(dim, eps=eps, rngs=rngs)

    def __call__(self, x: Float[Array, "B S E"]) -> Float[Array, "B S E"]:
        y = spectrum(x)  # [B, S, E], complex
        re, im = self.fc1(y.real, y.imag)
        re, im = self.fc2(jax.nn.gelu(re, approximate=False), jax.nn.gelu(im, approximate=False))
        re, im = self.norm_re(y.real + re), self.norm_im(y.imag + im)
        return from_spectrum(jax.lax.complex(re, im)).astype(x.dtype)  # [B, S, E]
