"""Gradient of a 2D convolution's kernel on a CPU: products over patches against XLA's own form.

    python benchmarks/conv_gradient.py

Prints, for convolutions of the R(2+1)D-34 and of the tiny one, GFLOP, seconds of both forms (median of rounds taken in
turn), their ratio, and each as a share of what a plain 2048^3 product reaches in the same process.
"""

import functools
import statistics
import time

import jax
import jax.numpy as jnp

from lift_flax.models import conv

ROUNDS = 7
ONE, TWO = ((1, 1), (1, 1)), ((3, 3), (3, 3))
CASES = {  # name: (input [N,H,W,I], kernel [kh,kw,I,O], strides, padding)
    "34: layer1 spatial, 16x56x56": ((16, 56, 56, 64), (3, 3, 64, 144), (1, 1), ONE),
    "34: layer1 temporal, 16x56x56": ((1, 16, 3136, 144), (3, 1, 144, 64), (1, 1), ((1, 1), (0, 0))),
    "34: layer3 spatial, 8x14x14": ((16, 14, 14, 256), (3, 3, 256, 576), (1, 1), ONE),
    "tiny: stem, 96x64x64": ((96, 64, 64, 3), (7, 7, 3, 16), (4, 4), TWO),
    "tiny: layer1 spatial, 96x16x16": ((96, 16, 16, 16), (3, 3, 16, 36), (1, 1), ONE),
    "tiny: layer1 temporal, 96x16x16": ((8, 12, 256, 36), (3, 1, 36, 16), (1, 1), ((1, 1), (0, 0))),
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


def main() -> None:
    """Prints the table."""
    square = jnp.ones((2048, 2048))
    product = jax.jit(jnp.matmul)
    for name, (shape, kernel_shape, strides, padding) in CASES.items():
        x, kernel = jax.random.normal(jax.random.key(0), shape), jnp.zeros(kernel_shape)
        out = jax.eval_shape(functools.partial(conv._convolve, strides=strides, padding=padding), x, kernel)
        grad = jax.random.normal(jax.random.key(1), out.shape)
        ours = jax.jit(functools.partial(conv._kernel_gradient_by_products, kernel_shape, strides, padding))
        plain = jax.jit(functools.partial(conv._kernel_gradient, kernel_shape, strides, padding))
        seconds, theirs, ceiling = median_seconds(
            [
                functools.partial(ours, x, grad),
                functools.partial(plain, x, grad),
                functools.partial(product, square, square),
            ]
        )
        gflop = 2 * grad.size * kernel.size / kernel_shape[-1] / 1e9
        share = gflop / seconds / (2 * 2048**3 / 1e9 / ceiling)
        print(
            f"{name:34s} {gflop:6.2f} GFLOP   products {1e3 * seconds:7.1f} ms   XLA {1e3 * theirs:7.1f} ms   "
            f"{theirs / seconds:4.1f} times   {100 * share:3.0f} % of a product's speed"
        )


if __name__ == "__main__":
    main()
