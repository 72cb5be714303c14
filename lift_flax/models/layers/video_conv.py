"""Video convolutions as 2D convolutions, with explicit padding as in PyTorch.

A (1,k,k) convolution is a 2D one over [B*T, H, W, C]; a (k,1,1) convolution is a 2D one over [B, T, H*W, C] with kernel
(k, 1).  Both are exact.  Compilers lay the 2D form out well on every device, the 5D form on none.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.layers.conv2d import conv2d

# He initialisation over the fan-out, as torchvision's video networks.
_kernel_init = jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class SpatialConv(nnx.Module):
    """A (1, k, k) convolution without bias, padding k//2."""

    def __init__(self, inputs: int, outputs: int, *, size: int, stride: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_kernel_init(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        self.size, self.stride = size, stride

    def __call__(self, x: Float[Array, "B T H W I"]) -> Float[Array, "B T h w O"]:
        b, t, h, w, c = x.shape
        pad = (self.size // 2, self.size // 2)
        x = conv2d(
            x.reshape(b * t, h, w, c), self.kernel[...], (self.stride, self.stride), (pad, pad)
        )  # [B*T, h, w, O]
        return x.reshape(b, t, *x.shape[1:])  # [B, T, h, w, O]


class TemporalConv(nnx.Module):
    """A (k, 1, 1) convolution without bias, padding k//2."""

    def __init__(self, inputs: int, outputs: int, *, size: int, stride: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_kernel_init(rngs.params(), (size, 1, inputs, outputs), jnp.float32))
        self.size, self.stride = size, stride

    def __call__(self, x: Float[Array, "B T H W I"]) -> Float[Array, "B t H W O"]:
        b, t, h, w, c = x.shape
        pad = (self.size // 2, self.size // 2)
        x = conv2d(x.reshape(b, t, h * w, c), self.kernel[...], (self.stride, 1), (pad, (0, 0)))  # [B, t, H*W, O]
        return x.reshape(b, -1, h, w, x.shape[-1])  # [B, t, H, W, O]


class VideoConv(nnx.Module):
    """A full (k, s, s) convolution without bias, padding k//2 and s//2: R3D's.

    The k neighbouring frames are laid side by side in the channels, then one 2D convolution sees them all.
    """

    def __init__(self, inputs: int, outputs: int, *, sizes: tuple[int, int], strides: tuple[int, int], rngs: nnx.Rngs):
        self.frames, self.size = sizes
        self.time_stride, self.stride = strides
        shape = (self.size, self.size, self.frames * inputs, outputs)
        self.kernel = nnx.Param(_kernel_init(rngs.params(), shape, jnp.float32))  # channels: frame outer, input inner

    def __call__(self, x: Float[Array, "B T H W I"]) -> Float[Array, "B t h w O"]:
        b, frames, h, w, c = x.shape
        half, step = self.frames // 2, self.time_stride
        t = (frames + 2 * half - self.frames) // step + 1
        x = jnp.pad(x, ((0, 0), (half, half), (0, 0), (0, 0), (0, 0)))
        x = jnp.concatenate([x[:, i : i + step * (t - 1) + 1 : step] for i in range(self.frames)], axis=-1)
        pad = (self.size // 2, self.size // 2)
        x = x.reshape(b * t, h, w, self.frames * c)
        x = conv2d(x, self.kernel[...], (self.stride, self.stride), (pad, pad))  # [B*t, h, w, O]
        return x.reshape(b, t, *x.shape[1:])  # [B, t, h, w, O]
