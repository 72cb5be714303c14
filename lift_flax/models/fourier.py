"""Fourier Enhancement: a trainable change of a sequence's spectrum (paper section III-E, Eqs. 3 and 4)."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Complex, Float

from lift_flax.models.layers.dense import accumulation_dtype, along_channels, gelu
from lift_flax.models.layers.norm import LayerNorm

FoeNorm = Literal["plane", "branch", "after", "row"]


def spectrum(x: Float[Array, "B S E"]) -> Complex[Array, "B S E"]:
    """Orthonormal 2D FFT over sequence and channels, in float32 at least (no FFT exists in bfloat16)."""
    return _on_each_shard(functools.partial(jnp.fft.fft2, axes=(1, 2), norm="ortho"), x.astype(accumulation_dtype(x)))


def from_spectrum(y: Complex[Array, "B S E"]) -> Float[Array, "B S E"]:
    """Real part of the orthonormal inverse 2D FFT."""
    return _on_each_shard(lambda y: jnp.fft.ifft2(y, axes=(1, 2), norm="ortho").real, y)


def spectrum_by_products(x: Float[Array, "B S E"]) -> tuple[Float[Array, "B S E"], Float[Array, "B S E"]]:
    """Real and imaginary part of `spectrum`, as products with the matrices of the DFT: no FFT, no complex numbers."""
    x = x.astype(accumulation_dtype(x))
    cos_s, sin_s, cos_e, sin_e = *dft_matrix(x.shape[1]), *dft_matrix(x.shape[2])
    re, im = _einsum("BSE,EF->BSF", x, cos_e), -_einsum("BSE,EF->BSF", x, sin_e)  # over channels
    over_s = functools.partial(_einsum, "RS,BSE->BRE")
    return over_s(cos_s, re) + over_s(sin_s, im), over_s(cos_s, im) - over_s(sin_s, re)


def from_spectrum_by_products(re: Float[Array, "B S E"], im: Float[Array, "B S E"]) -> Float[Array, "B S E"]:
    """`from_spectrum` as products: the matrices are symmetric, and the inverse's are their conjugates."""
    cos_s, sin_s, cos_e, sin_e = *dft_matrix(re.shape[1]), *dft_matrix(re.shape[2])
    over_e = functools.partial(_einsum, "BSE,EF->BSF")
    re, im = over_e(re, cos_e) - over_e(im, sin_e), over_e(re, sin_e) + over_e(im, cos_e)
    return _einsum("RS,BSE->BRE", cos_s, re) - _einsum("RS,BSE->BRE", sin_s, im)


def dft_matrix(n: int) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """(cosines, sines) of the orthonormal DFT: it is exp(-2 pi i j k / n) / sqrt(n) = cosine - i sine."""
    angle = 2 * np.pi / n * (np.outer(np.arange(n), np.arange(n)) % n)  # [n, n]
    return (np.cos(angle) / np.sqrt(n)).astype(np.float32), (np.sin(angle) / np.sqrt(n)).astype(np.float32)


_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)  # a FFT rounds as float32 does


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
        x = jnp.stack([re, im])  # [2, B, S, E]: one product a kernel, so one sum over devices for its gradient
        by_re, by_im = x @ self.kernel_re[...], x @ self.kernel_im[...]
        bias_re, bias_im = along_channels(self.bias_re[...], re), along_channels(self.bias_im[...], im)
        return by_re[0] - by_im[1] + bias_re, by_im[0] + by_re[1] + bias_im


class FourierEnhancement(nnx.Module):
    """Y = FFT(x); Y = LN(Y + MLP(Y)); x = Re(IFFT(Y)).

    NOTE(paper): the paper leaves open what an MLP and a LayerNorm of complex numbers are.  Here the MLP is complex with
    GELU on real and imaginary part, hidden width E; real and imaginary part have a LayerNorm each.

    Args:
      norm: what its mean and variance are taken over.  "plane": all S x E frequencies of a clip.  "row": the E
        frequencies of each row of S; the rows differ in size some hundred times, so it brings the rounding of weak ones
        to unit size, level after level.  "branch": the plane of MLP(Y) alone, Y + LN(MLP(Y)).  "after": the channels of
        each token, after the inverse.

    Its attribute `by_products` is False; True writes both transforms as matrix products.
    """

    def __init__(self, dim: int, *, norm: FoeNorm = "plane", eps: float, rngs: nnx.Rngs):
        self.fc1 = ComplexLinear(dim, rngs=rngs)
        self.fc2 = ComplexLinear(dim, rngs=rngs)
        if norm == "after":
            self.norm = LayerNorm(dim, eps=eps, rngs=rngs)
        else:
            over = "channels" if norm == "row" else "plane"
            self.norm_re = LayerNorm(dim, eps=eps, over=over, rngs=rngs)
            self.norm_im = LayerNorm(dim, eps=eps, over=over, rngs=rngs)
        self.place, self.by_products = norm, False

    def __call__(self, x: Float[Array, "B S E"]) -> Float[Array, "B S E"]:
        if self.by_products:
            back = from_spectrum_by_products(*self._enhance(*spectrum_by_products(x)))  # [B, S, E]
        else:
            y = spectrum(x)  # [B, S, E], complex
            back = from_spectrum(jax.lax.complex(*self._enhance(y.real, y.imag)))  # [B, S, E]
        return (self.norm(back) if self.place == "after" else back).astype(x.dtype)

    def _enhance(self, y_re: Float[Array, "B S E"], y_im: Float[Array, "B S E"]) -> tuple[Array, Array]:
        re, im = self.fc1(y_re, y_im)
        re, im = self.fc2(gelu(re), gelu(im))
        if self.place == "after":
            return y_re + re, y_im + im
        if self.place == "branch":
            return y_re + self.norm_re(re), y_im + self.norm_im(im)
        return self.norm_re(y_re + re), self.norm_im(y_im + im)
