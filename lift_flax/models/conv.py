"""Video convolutions as 2D convolutions, with explicit padding as in PyTorch.

A (1,k,k) convolution is a 2D one over [B*T, H, W, C]; a (k,1,1) convolution is a 2D one over [B, T, H*W, C] with kernel
(k, 1).  Both are exact.  Compilers lay the 2D form out well on every device, the 5D form on none.

On a CPU the gradient of the kernel is written as matrix products over patches, a few images at a
time (benchmarks/conv_gradient.py compares); XLA's own form of it takes longer.  Everywhere else it is the usual
convolution of input and gradient.  Kernels are float32, and so are their gradients and the sums in them.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from lift_flax.models.dense import wide

PATCH_BYTES = 8 * 2**20  # patches laid out at a time

Padding = tuple[tuple[int, int], tuple[int, int]]


def _convolve(x, kernel, strides, padding):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def conv2d(
    x: Float[Array, "N H W I"], kernel: Float[Array, "kh kw I O"], strides: tuple[int, int], padding: Padding
) -> Float[Array, "N h w O"]:
    """A 2D convolution (cross-correlation) in x's dtype, with `padding` ((top, bottom), (left, right))."""
    return _conv2d(x, kernel, x.shape, kernel.shape, strides, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _conv2d(x, kernel, x_shape, kernel_shape, strides, padding):
    del x_shape, kernel_shape  # for the gradient, which keeps x and kernel only where it needs their values
    return _convolve(x, kernel.astype(x.dtype), strides, padding)


def _forward(x, kernel, x_shape, kernel_shape, strides, padding):
    saved = x.value if kernel.perturbed else None, kernel.value if x.perturbed else None
    return _conv2d(x.value, kernel.value, x_shape, kernel_shape, strides, padding), saved


def _backward(x_shape, kernel_shape, strides, padding, saved, grad):
    x, kernel = saved
    dx = dkernel = None
    if kernel is not None:
        dx = _input_gradient(x_shape, strides, padding, kernel.astype(grad.dtype), grad)
    if x is not None:
        dkernel = jax.lax.platform_dependent(
            x,
            grad,
            cpu=functools.partial(_kernel_gradient_on_cpu, kernel_shape, strides, padding),
            default=functools.partial(_kernel_gradient, kernel_shape, strides, padding),
        )
    return dx, dkernel


def _input_gradient(x_shape, strides, padding, kernel, grad):
    """Without a stride: the convolution with the kernel turned round, which XLA's CPU compiler would do ever so slowly.

    It has a quick convolution for kernels as they are, and what plain differentiation gives reads them backwards.
    """
    if strides == (1, 1):
        turned = jax.lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))  # [kh, kw, O, I]
        pads = tuple(
            (k - 1 - before, k - 1 - after) for k, (before, after) in zip(kernel.shape[:2], padding, strict=True)
        )
        return _convolve(grad, turned, strides, pads)
    convolve = functools.partial(_convolve, kernel=kernel, strides=strides, padding=padding)
    (dx,) = jax.linear_transpose(convolve, jax.ShapeDtypeStruct(x_shape, grad.dtype))(grad)
    return dx


def _kernel_gradient(kernel_shape, strides, padding, x, grad):
    """The convolution of input and gradient that plain differentiation gives, but with a float32 result."""
    pads = []
    for axis in (0, 1):
        reach = strides[axis] * (grad.shape[1 + axis] - 1)
        before = padding[axis][0]
        pads.append((before, kernel_shape[axis] + reach - x.shape[1 + axis] - before))
    return jax.lax.conv_general_dilated(
        x,
        grad,
        (1, 1),
        pads,
        rhs_dilation=strides,
        dimension_numbers=("CHWN", "IHWO", "HWNC"),  # images are what is summed over
        preferred_element_type=wide(x),
    )


def _kernel_gradient_on_cpu(kernel_shape, strides, padding, x, grad):
    """By products; on a mesh every device takes its own images, which the compiler would gather otherwise."""
    by_products = functools.partial(_kernel_gradient_by_products, kernel_shape, strides, padding)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return by_products(x, grad)
    rows = PartitionSpec(mesh.axis_names)

    @functools.partial(jax.shard_map, in_specs=(rows, rows), out_specs=PartitionSpec(), check_vma=False)
    def of_all(x, grad):
        return jax.lax.psum(by_products(x, grad), mesh.axis_names)

    return of_all(x, grad)


def _kernel_gradient_by_products(kernel_shape, strides, padding, x, grad):
    """Lays the kh*kw shifted inputs side by side in the channels; then dK is one product with the output's gradient.

    Without a stride the gradient can as well be shifted the other way: whichever has fewer channels is laid out.  A few
    images at a time where the patches are many: what is laid out must still be in the cache when it is used.
    """
    kh, kw, channels, outputs = kernel_shape
    images, h, w, _ = grad.shape
    if strides == (1, 1) and outputs < channels:
        pads = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip((kh, kw), padding, strict=True))
        turned = _kernel_gradient_by_products((kh, kw, outputs, channels), strides, pads, grad, x)
        return turned[::-1, ::-1].swapaxes(2, 3)  # [kh, kw, I, O]
    sh, sw = strides
    patch_bytes = images * h * w * kh * kw * channels * x.dtype.itemsize
    chunks = min(d for d in range(1, images + 1) if images % d == 0 and (d == images or patch_bytes / d < PATCH_BYTES))
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    x = x.reshape(chunks, images // chunks, *x.shape[1:])
    grad = grad.reshape(chunks, images // chunks * h * w, outputs)

    def add(total, chunk):
        x, grad = chunk
        taps = [
            x[:, a : a + sh * (h - 1) + 1 : sh, b : b + sw * (w - 1) + 1 : sw] for a in range(kh) for b in range(kw)
        ]
        patches = jnp.concatenate(taps, axis=-1).reshape(-1, kh * kw * channels)  # [pixels, kh*kw*I]
        return total + jax.lax.dot(grad.T, patches, preferred_element_type=wide(x)), None

    zero = jnp.zeros((outputs, kh * kw * channels), wide(x))
    total, _ = jax.lax.scan(add, zero, (x, grad))
    return total.T.reshape(kernel_shape)  # [kh, kw, I, O]


_conv2d.defvjp(_forward, _backward, symbolic_zeros=True)

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
