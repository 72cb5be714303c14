"""A 2D convolution whose gradients are fast on a CPU too.

Accelerators use plain differentiation.  XLA's CPU compiler is slow at that (benchmarks/conv_gradient.py
compares): there the kernel's gradient is a sum of matrix products over shifted inputs, and the input's gradient a
convolution with the kernel turned round.  Kernels are float32, and so are their gradients and the sums in them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from lift_flax.models.layers.dense import accumulation_dtype
from lift_flax.models.layers.precision import custom_vjp

# Size of the shifted inputs that are laid out at a time, so that they are still in the cache when they are used.  The
# kh - 1 rows beside them and the gradient come on top; a single row may be larger.
PATCH_BYTES = 3 * 2**19

Padding = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


def conv2d(
    x: Float[Array, "N H W I"], kernel: Float[Array, "kh kw I O"], strides: tuple[int, int], padding: Padding
) -> Float[Array, "N h w O"]:
    """A convolution (cross-correlation) in x's dtype.  Frozen kernels and inputs cost no gradient.

    Raises:
      ValueError: an edge is padded by the kernel's size or more.  The gradient would be a convolution with negative
        padding, for which XLA's CPU compiler reads beyond its arrays.
    """
    if any(max(edges) >= size for size, edges in zip(kernel.shape[:2], padding, strict=True)):
        raise ValueError(f"padding {padding} of a kernel of {kernel.shape[:2]}: at most its size less one at each edge")
    return _conv2d(x.shape, kernel.shape, strides, padding, x, kernel)


def _in_dtype_of_x(x_shape, kernel_shape, strides, padding, x, kernel):
    del x_shape, kernel_shape  # for the gradient, which keeps x and kernel only where it needs their values
    return convolve(x, kernel.astype(x.dtype), strides, padding)


def _forward(x_shape, kernel_shape, strides, padding, x, kernel):
    saved = x.value if kernel.perturbed else None, kernel.value if x.perturbed else None
    return _in_dtype_of_x(x_shape, kernel_shape, strides, padding, x.value, kernel.value), saved


def _backward(x_shape, kernel_shape, strides, padding, saved, grad):
    x, kernel = saved
    dx = dkernel = None
    if kernel is not None:
        dx = input_gradient(x_shape, strides, padding, kernel.astype(grad.dtype), grad)
    if x is not None:
        dkernel = kernel_gradient(kernel_shape, strides, padding, x, grad)
    return dx, dkernel


_conv2d = custom_vjp(_in_dtype_of_x, _forward, _backward, static=4, symbolic_zeros=True)


def convolve(
    x: Float[Array, "N H W I"],
    kernel: Float[Array, "kh kw I O"],
    strides: tuple[int, int],
    padding: Padding,
    dtype: jnp.dtype | None = None,
) -> Float[Array, "N h w O"]:
    """The convolution itself, of x and kernel in one dtype; the result has it too unless `dtype` names another."""
    dims = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=dims, preferred_element_type=dtype
    )


def input_gradient(
    x_shape: tuple[int, ...],
    strides: tuple[int, int],
    padding: Padding,
    kernel: Float[Array, "kh kw I O"],
    grad: Float[Array, "N h w O"],
) -> Float[Array, "N H W I"]:
    """Gradient of the input, from that of the output, both in the kernel's dtype."""

    def plain(kernel, grad):
        strided = functools.partial(convolve, kernel=kernel, strides=strides, padding=padding)
        return jax.linear_transpose(strided, jax.ShapeDtypeStruct(x_shape, grad.dtype))(grad)[0]

    if strides != (1, 1):
        return plain(kernel, grad)
    _, kw, inputs, outputs = kernel.shape
    form = _input_gradient_by_columns if kw > 1 and inputs < outputs else _input_gradient_turned
    quick = functools.partial(form, _turned_padding(kernel.shape, padding))
    return jax.lax.platform_dependent(kernel, grad, cpu=quick, default=plain)


def _turned_padding(kernel_shape: tuple[int, ...], padding: Padding) -> Padding:
    """Padding of the convolution, without a stride, that goes back from outputs to inputs."""
    kh, kw = kernel_shape[:2]
    (top, bottom), (left, right) = padding
    return (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)


def _input_gradient_turned(padding, kernel, grad):
    """Computes the gradient of the input by a convolution with the kernel turned round.

    Plain differentiation reads the kernel backwards instead, for which XLA's CPU compiler has only a slow way.
    """
    turned = jax.lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))  # [kh, kw, O, I]
    return convolve(grad, turned, (1, 1), padding)


def _input_gradient_by_columns(padding, kernel, grad):
    """Computes the gradient of the input with all columns of the kernel side by side, then a sum of shifted columns.

    The library behind XLA's CPU compiler lays out kh*kw*O numbers a pixel, whatever is made of them.  With I channels
    for each column it lays out kh*O and makes kw*I, which is a product of a better shape where I is less than O.
    """
    kh, kw, inputs, outputs = kernel.shape
    columns = kernel[::-1, ::-1].transpose(0, 3, 1, 2)  # [kh, O, kw, I]
    columns = jax.lax.optimization_barrier(columns).reshape(kh, 1, outputs, kw * inputs)
    y = convolve(grad, columns, (1, 1), padding, accumulation_dtype(grad))  # [N, H, W+kw-1, kw*I]
    width = y.shape[2] - kw + 1
    y = sum(y[:, :, b : b + width, b * inputs : (b + 1) * inputs] for b in range(kw))  # [N, H, W, I]
    return jnp.asarray(y).astype(grad.dtype)


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
        cpu=functools.partial(_kernel_gradient_on_cpu, kernel_shape, strides, padding),
        default=functools.partial(_kernel_gradient_plain, kernel_shape, strides, padding),
    )


def _kernel_gradient_plain(kernel_shape, strides, padding, x, grad):
    """Computes the gradient of the kernel as plain differentiation does, but with a float32 result."""
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
        preferred_element_type=accumulation_dtype(x),
    )


def _kernel_gradient_on_cpu(kernel_shape, strides, padding, x, grad):
    """Computes the gradient of the kernel by products; on a mesh each device takes its own images.

    Otherwise the compiler would gather them.
    """
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
    """Lays the kw shifted inputs side by side; then each row of the kernel is one product with the output's gradient.

    Without a stride the gradient can as well be shifted the other way: whichever has fewer channels is laid out.  A few
    images at a time, or a few rows of one image.
    """
    kh, kw, inputs, outputs = kernel_shape
    if strides == (1, 1) and outputs < inputs:
        back = _turned_padding(kernel_shape, padding)
        turned = _kernel_gradient_by_products((kh, kw, outputs, inputs), strides, back, grad, x)
        return turned[::-1, ::-1].swapaxes(2, 3)  # [kh, kw, I, O]
    (images, h, w, _), (sh, sw) = grad.shape, strides
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    at_once, rows = _block(images, h, w * kw * inputs * x.dtype.itemsize)

    def add(totals, block):
        image, row = at_once * (block // (h // rows)), rows * (block % (h // rows))
        g = jax.lax.dynamic_slice(grad, (image, row, 0, 0), (at_once, rows, w, outputs)).reshape(-1, outputs)
        seen = (at_once, sh * (rows - 1) + kh, *x.shape[2:])
        seen = jax.lax.dynamic_slice(x, (image, sh * row, 0, 0), seen)
        seen = jnp.concatenate([seen[:, :, b : b + sw * (w - 1) + 1 : sw] for b in range(kw)], axis=-1)
        taps = [seen[:, a : a + sh * (rows - 1) + 1 : sh].reshape(-1, kw * inputs) for a in range(kh)]  # [pixels, kw*I]
        return [t + jax.lax.dot(g.T, y, preferred_element_type=t.dtype) for t, y in zip(totals, taps, strict=True)]

    totals = [jnp.zeros((outputs, kw * inputs), accumulation_dtype(x))] * kh
    totals, _ = jax.lax.scan(lambda t, block: (add(t, block), None), totals, jnp.arange(images // at_once * h // rows))
    return jnp.stack([t.T for t in totals]).reshape(kernel_shape)  # [kh, kw, I, O]


def _block(images: int, rows: int, row_bytes: int) -> tuple[int, int]:
    """(images, rows of each) that are laid out at a time: divisors of both, within PATCH_BYTES if they can."""

    def most(number: int, size: int) -> int:
        return max(d for d in range(1, number + 1) if number % d == 0 and (d == 1 or d * size <= PATCH_BYTES))

    at_once = most(rows, row_bytes)
    return (most(images, rows * row_bytes), rows) if at_once == rows else (1, at_once)
