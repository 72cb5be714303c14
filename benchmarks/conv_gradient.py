"""Gradients of a 2D convolution on a CPU: ours (lift_flax/models/layers/conv2d.py) against plain differentiation.

    python benchmarks/conv_gradient.py

Prints, for convolutions of the R(2+1)D-34 and of the tiny one, GFLOP, milliseconds of both forms of the kernel's and of
the input's gradient (median of rounds taken in turn), and how many times as long the plain form takes; last, what a
plain 2048^3 product takes in the same process.  With a stride the input's gradient is the plain one.
"""

import functools
import statistics
import time

import jax
import jax.numpy as jnp

from lift_flax.models.layers.conv2d import convolve, input_gradient, kernel_gradient

ROUNDS = 7
ONE, TIME = ((1, 1), (1, 1)), ((1, 1), (0, 0))
CASES = {  # name: (input [N,H,W,I], kernel [kh,kw,I,O], strides, padding)
    "34: layer1 spatial, 30x56x56": ((30, 56, 56, 64), (3, 3, 64, 144), (1, 1), ONE),
    "34: layer1 temporal, 30x56x56": ((1, 30, 3136, 144), (3, 1, 144, 64), (1, 1), TIME),
    "34: layer2 spatial, stride 2": ((30, 56, 56, 64), (3, 3, 64, 230), (2, 2), ONE),
    "34: layer3 spatial, 8x14x14": ((8, 14, 14, 256), (3, 3, 256, 576), (1, 1), ONE),
    "34: layer4 spatial, 4x7x7": ((4, 7, 7, 512), (3, 3, 512, 1152), (1, 1), ONE),
    "34: layer4 temporal, 4x7x7": ((1, 4, 49, 1152), (3, 1, 1152, 512), (1, 1), TIME),
    "tiny: layer1 spatial, 96x16x16": ((96, 16, 16, 16), (3, 3, 16, 36), (1, 1), ONE),
    "tiny: layer1 temporal, 96x16x16": ((8, 12, 256, 36), (3, 1, 36, 16), (1, 1), TIME),
}


def median_seconds(functions: list) -> list[float]:
    """Median seconds of each function, called in turn."""
    for function in functions:
        jax.block_until_ready(function())
    times = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, seconds in zip(functions, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function())
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def gradients(shape: tuple, kernel_shape: tuple, strides: tuple, padding: tuple) -> tuple[float, list]:
    """(GFLOP of one, calls that compute the kernel's gradient: ours and plain; the input's: ours and plain)"""
    x, kernel = jax.random.normal(jax.random.key(0), shape), jax.random.normal(jax.random.key(1), kernel_shape)
    plain = functools.partial(convolve, strides=strides, padding=padding)
    grad = jax.random.normal(jax.random.key(2), jax.eval_shape(plain, x, kernel).shape)
    calls = [
        (functools.partial(kernel_gradient, kernel_shape, strides, padding), x, grad),
        (lambda x, grad: jax.linear_transpose(lambda kernel: plain(x, kernel), kernel)(grad), x, grad),
        (functools.partial(input_gradient, shape, strides, padding), kernel, grad),
        (lambda kernel, grad: jax.linear_transpose(lambda x: plain(x, kernel), x)(grad), kernel, grad),
    ]
    gflop = 2 * grad.size * kernel.size / kernel_shape[-1] / 1e9
    return gflop, [functools.partial(jax.jit(function), *arguments) for function, *arguments in calls]


def main() -> None:
    """Prints the table."""
    square = jnp.ones((2048, 2048))
    product = functools.partial(jax.jit(jnp.matmul), square, square)
    ceilings = []
    print(f"{'':34s}{'GFLOP':>7s}   kernel's: ours    plain  times   input's: ours    plain  times")
    for name, case in CASES.items():
        gflop, calls = gradients(*case)
        kernel_s, plain_kernel_s, input_s, plain_input_s, ceiling = median_seconds([*calls, product])
        ceilings.append(ceiling)
        kernel_times, input_times = plain_kernel_s / kernel_s, plain_input_s / input_s
        print(
            f"{name:34s}{gflop:7.2f}{1e3 * kernel_s:14.1f} ms{1e3 * plain_kernel_s:6.0f} ms{kernel_times:7.1f}"
            f"{1e3 * input_s:13.1f} ms{1e3 * plain_input_s:6.0f} ms{input_times:7.1f}",
            flush=True,
        )
    ceiling = statistics.median(ceilings)
    print(f"a product of 17.2 GFLOP: {1e3 * ceiling:.1f} ms, {2 * 2048**3 / 1e9 / ceiling:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
