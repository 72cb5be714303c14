"""Gradients of a 2D convolution, written so that every device has a quick form of them.

Accelerators take what plain differentiation gives.  XLA's CPU compiler is slow at that (benchmarks/conv_gradient.py
compares): there the kernel's gradient is a sum of matrix products over patches, and the input's gradient a convolution
with the kernel turned round.  Kernels are float32, and so are their gradients and the sums in them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from lift_flax.models.dense import wide

PATCH_BYTES = 3 * 2**19  # laid out at a time: it must still be in the cache when it is used

Padding = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


def convolve(
    x: Float[Array, "N H W I"], kernel: Float[Array, "kh kw I O"], strides: tuple[int, int], padding: Padding
) -> Float[Array, "N h w O"]:
    """The convolution itself, both in the same dtype."""
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def input_gradient(
    x_shape: tuple[int, ...],
    strides: tuple[int, int],
    padding: Padding,
    kernel: Float[Array, "kh kw I O"],
    grad: Float[Array, "N h w O"],
) -> Float[Array, "N H W I"]:
    """Gradient of the input, from that of the output.

    Without a stride it is the convolution with the kernel turned round.  What plain differentiation gives reads the
    kernel backwards instead, for which XLA's CPU compiler has only a slow way.
    """
    if strides == (1, 1):
        pads = turned_padding(kernel.shape, padding)
        by_columns = kernel.shape[1] > 1 and kernel.shape[2] < kernel.shape[3]
        quick = _convolve_by_columns if by_columns else _convolve_turned
        return jax.lax.platform_dependent(
            grad,
            kernel,
            cpu=functools.partial(quick, padding=pads),
            default=functools.partial(_convolve_turned, padding=pads),
        )
    strided = functools.partial(convolve, kernel=kernel, strides=strides, padding=padding)
    (dx,) = jax.linear_transpose(strided, jax.ShapeDtypeStruct(x_shape, grad.dtype))(grad)
    return dx


def turned_padding(kernel_shape: tuple[int, ...], padding: Padding) -> Padding:
    """Of the convolution that goes back from outputs to inputs."""
    return tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip(kernel_shape[:2], padding, strict=True))


def _convolve_turned(grad, kernel, *, padding):
    turned = jax.lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))  # [kh, kw, O, I]
    return convolve(grad, turned, (1, 1), padding)


def _convolve_by_columns(grad, kernel, *, padding):
    """The same for fewer inputs than outputs: all columns of the kernel side by side, then a sum of shifted columns.

    The library behind XLA's CPU compiler lays out kh*kw*O numbers a pixel, whatever is made of them.  With I channels
    for each column it lays out kh*O and makes kw*I, which is a product of a better shape: 0.5 to 0.9 of the time.
    """
    kh, kw, inputs, outputs = kernel.shape
    columns = kernel[::-1, ::-1].transpose(0, 3, 1, 2)  # [kh, O, kw, I]
    columns = jax.lax.optimization_barrier(columns).reshape(kh, 1, outputs, kw * inputs)
    y = convolve(grad, columns, (1, 1), (padding[0], padding[1]))  # [N, H, W+kw-1, kw*I]
    width = y.shape[2] - kw + 1
    return sum(y[:, :, b : b + width, b * inputs : (b + 1) * inputs] for b in range(kw))  # [N, H, W, I]


def kernel_gradient(
    kernel_shape: tuple[int, ...],
    strides: tuple[int, int],
    padding: Padding,
    x: Float[Array, "N H W I"],
    grad: Float[Array, "N h w O"],
) -> Float[Array, "kh kw I O"]:
    """Gradient of the kernel, float32, from the convolution's input and the gradient of its output."""
    return jax.lax.platform_dependent(
        x,
        grad,
        cpu=functools.partial(_on_cpu, kernel_shape, strides, padding),
        default=functools.partial(_by_convolution, kernel_shape, strides, padding),
    )


def _by_convolution(kernel_shape, strides, padding, x, grad):
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


def _on_cpu(kernel_shape, strides, padding, x, grad):
    """By products; on a mesh every device takes its own images, which the compiler would gather otherwise."""
    by_products = functools.partial(_by_products, kernel_shape, strides, padding)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return by_products(x, grad)
    rows = PartitionSpec(mesh.axis_names)

    @functools.partial(jax.shard_map, in_specs=(rows, rows), out_specs=PartitionSpec(), check_vma=False)
    def of_all(x, grad):
        return jax.lax.psum(by_products(x, grad), mesh.axis_names)

    return of_all(x, grad)


def _by_products(kernel_shape, strides, padding, x, grad):
    """Lays the kw shifted inputs side by side; then each row of the kernel is a product with the output's gradient.

    Without a stride the gradient can as well be shifted the other way: whichever has fewer channels is laid out.  A few
    images at a time, or a few rows of one image.
    """
    kh, kw, inputs, outputs = kernel_shape
    sh, sw = strides
    turned = strides == (1, 1) and outputs < inputs
    laid, plain = (grad, x) if turned else (x, grad)
    padding = turned_padding(kernel_shape, padding) if turned else padding
    laid = jnp.pad(laid, ((0, 0), *padding, (0, 0)))
    (images, h, w, p), (*_, width, q) = plain.shape, laid.shape
    at_once, rows = _block(images, h, w * kw * q * x.dtype.itemsize)

    def add(totals, block):
        image, row = at_once * (block // (h // rows)), rows * (block % (h // rows))
        left = jax.lax.dynamic_slice(plain, (image, row, 0, 0), (at_once, rows, w, p)).reshape(-1, p)  # [pixels, P]
        seen = (at_once, sh * (rows - 1) + kh, width, q)
        seen = jax.lax.dynamic_slice(laid, (image, sh * row, 0, 0), seen)
        seen = jnp.concatenate([seen[:, :, b : b + sw * (w - 1) + 1 : sw] for b in range(kw)], axis=-1)
        right = [seen[:, a : a + sh * (rows - 1) + 1 : sh].reshape(-1, kw * q) for a in range(kh)]  # [pixels, kw*Q]
        return [t + jax.lax.dot(left.T, r, preferred_element_type=t.dtype) for t, r in zip(totals, right, strict=True)]

    totals = [jnp.zeros((p, kw * q), wide(x))] * kh
    totals, _ = jax.lax.scan(lambda t, block: (add(t, block), None), totals, jnp.arange(images // at_once * h // rows))
    if turned:
        total = jnp.stack(totals).reshape(kh, inputs, kw, outputs)
        return total[::-1, :, ::-1].swapaxes(1, 2)  # [kh, kw, I, O]
    return jnp.stack([t.T for t in totals]).reshape(kernel_shape)  # [kh, kw, I, O]


def _block(images: int, rows: int, row_bytes: int) -> tuple[int, int]:
    """(images, rows of each) that are laid out at a time: divisors of both, within PATCH_BYTES if they can."""

    def most(number: int, size: int) -> int:
        return max(d for d in range(1, number + 1) if number % d == 0 and (d == 1 or d * size <= PATCH_BYTES))

    at_once = most(rows, row_bytes)
    return (most(images, rows * row_bytes), rows) if at_once == rows else (1, at_once)
