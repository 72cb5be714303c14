"""bfloat16 activations: what stays float32, and how far from float32 the outputs are."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.models import build, functional
from lift_flax.models.layers import conv2d, dense, norm
from lift_flax.models.layers.attention import scores
from tests import ROOT
from tests.support.run_tools import environment
from tests.support.small_config import small_config

FRAMES = 12

# Sizes at which the convolutions' kernel gradients run over several chunks on every device.
PROGRAM = r"""
import json, re
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from lift_flax.models.functional import flatten
from lift_flax.models.layers import conv2d
from tests.models.test_precision import gradients_of, inputs, student

conv2d.PATCH_BYTES = 2**12
network, params, stats = student()
gradients = gradients_of(network)
mesh = jax.make_mesh((jax.device_count(), 1), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))
with jax.set_mesh(mesh):
    rows = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    arguments = (params, stats, *jax.device_put(inputs(jnp.bfloat16), rows))
    compiled = jax.jit(gradients).lower(*arguments).compile()
    grads = flatten(jax.eval_shape(gradients, *arguments))
text, reduced = compiled.as_text(), set()
for shape, reducer in re.findall(r"= (.*?) all-reduce(?:-start)?\(.*to_apply=%(\S+?),", text):
    for kind, dims in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        if np.prod([int(n) for n in dims.split(",") if n]) > 16:
            reduced.add("bf16" if reducer.endswith("promoted") else kind)  # a CPU adds bfloat16 as float32, and says so
facts = {
    "devices": jax.device_count(),
    "gathers": len(re.findall(r"all-gather(?:-start)?\(", text)),
    "reduced": sorted(reduced),
    "dtypes": sorted({str(g.dtype) for g in grads.values()}),
}
print(json.dumps(facts))
"""


def student(foe: str = "yes"):
    """(network, params, batch_stats) of a student that trains its R(2+1)D as well."""
    fields = {"data.num_frames": FRAMES, "model.levels": 2}
    config = small_config(f"tiny,distill=no,unfreeze=all,foe={foe}", **fields)
    network, draw = functional.create(lambda rngs: build.make_student(config, 3, rngs), 0)
    return network, *jax.jit(draw)()


def inputs(dtype) -> tuple:
    """dark and luminous clips, eight of each."""
    dark, luminous = (jax.random.normal(jax.random.key(i), (8, FRAMES, 32, 32, 3)) for i in range(2))
    return dark.astype(dtype), luminous.astype(dtype)


def gradients_of(network: functional.Network):
    """Gradients, by all parameters, of a smooth function of the logits."""

    def loss(params, stats, dark, luminous):
        logits = network.apply(params, stats, dark, luminous, train=True)[0]["logits"]
        return jax.nn.logsumexp(logits, axis=-1).mean() - logits[:, 0].mean()

    return jax.grad(loss)


@pytest.mark.slow
def test_eight_devices_sum_gradients_in_float32_and_gather_nothing():
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(command, cwd=ROOT, env=environment(8, as_trained=True), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    facts = json.loads(ran.stdout.splitlines()[-1])
    assert facts == {"devices": 8, "gathers": 0, "reduced": ["f32"], "dtypes": ["float32"]}


def _rounded(seed: int, *shape: int):
    """(bfloat16 array, the same numbers in float64)"""
    x = jax.random.normal(jax.random.key(seed), shape).astype(jnp.bfloat16)
    return x, np.asarray(x, np.float64)


def test_a_product_has_the_exact_gradient_of_its_kernel():
    """A sum of 4096 terms kept in bfloat16, or rounded to it at the end, would be off by 2**-9."""
    x, x64 = _rounded(0, 8, 512, 16)
    grad, grad64 = _rounded(1, 8, 512, 24)
    kernel = jax.random.normal(jax.random.key(2), (16, 24))
    y, pullback = jax.vjp(dense.matmul, x, kernel)
    dx, dkernel = pullback(grad)
    assert (y.dtype, dx.dtype, dkernel.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)
    expected = np.einsum("bri,bro->io", x64, grad64)
    np.testing.assert_allclose(dkernel, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "form", ["_kernel_gradient_on_cpu", pytest.param("_kernel_gradient_plain", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("strides", "padding"), [((1, 1), ((1, 1), (1, 1))), ((2, 2), ((1, 1), (1, 1))), ((2, 1), ((0, 2), (1, 0)))]
)
def test_a_convolution_has_the_exact_gradient_of_its_kernel(form, strides, padding, monkeypatch):
    """In the form for accelerators and in that for CPUs, which sums over blocks."""
    monkeypatch.setattr(conv2d, "PATCH_BYTES", 2**9)
    x, x64 = _rounded(0, 6, 13, 12, 5)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 5, 4))
    y, pullback = jax.vjp(lambda x: conv2d.conv2d(x, kernel, strides, padding), x)
    grad, grad64 = _rounded(2, *y.shape)
    assert y.dtype == pullback(grad)[0].dtype == jnp.bfloat16
    dkernel = jax.jit(lambda x, g: getattr(conv2d, form)(kernel.shape, strides, padding, x, g))(x, grad)
    assert dkernel.dtype == jnp.float32
    padded = np.pad(x64, ((0, 0), *padding, (0, 0)))
    h, w = y.shape[1:3]
    for a in range(3):
        for b in range(3):
            taps = padded[
                :, a : a + strides[0] * (h - 1) + 1 : strides[0], b : b + strides[1] * (w - 1) + 1 : strides[1]
            ]
            expected = np.einsum("nhwi,nhwo->io", taps, grad64)
            np.testing.assert_allclose(dkernel[a, b], expected, atol=1e-4)


def test_a_convolution_rounds_the_gradient_of_its_input_once():
    """On a CPU it is a sum of three parts where the convolution widens; rounded each, they would be off by more."""
    grad, grad64 = _rounded(0, 2, 6, 7, 8)
    kernel, kernel64 = _rounded(1, 3, 3, 4, 8)
    found = jax.jit(conv2d.input_gradient, static_argnums=(0, 1, 2))(
        (2, 6, 7, 4), (1, 1), ((1, 1), (1, 1)), kernel, grad
    )
    padded = np.pad(grad64, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = sum(padded[:, 2 - a : 8 - a, 2 - b : 9 - b] @ kernel64[a, b].T for a in range(3) for b in range(3))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=2**-8, atol=1e-6)


def test_norms_and_scores_compute_in_float32():
    """A mean of 100 leaves bfloat16 steps of 0.5: what is left after it is subtracted must still be right."""
    x = (100 + jax.random.normal(jax.random.key(0), (64, 96))).astype(jnp.bfloat16)
    x64 = np.asarray(x, np.float64)
    for axis, module in (
        (-1, norm.LayerNorm(96, eps=1e-5, rngs=nnx.Rngs(0))),
        (0, lambda x: norm.BatchNorm(96, eps=1e-5, momentum=0.9, rngs=nnx.Rngs(0))(x, train=True)),
    ):
        y = module(x)
        assert y.dtype == jnp.bfloat16
        expected = (x64 - x64.mean(axis, keepdims=True)) / x64.std(axis, keepdims=True)
        np.testing.assert_allclose(y.astype(jnp.float32), expected, atol=0.05, rtol=2**-7)
    q, q64 = _rounded(1, 2, 3, 5, 64)
    k, k64 = _rounded(2, 2, 3, 7, 64)
    np.testing.assert_allclose(scores(q, k), np.einsum("bnsd,bnrd->bnsr", q64, k64), atol=1e-4)


def test_statistics_of_a_batch_norm_are_float32():
    module = norm.BatchNorm(4, eps=1e-5, momentum=0.9, rngs=nnx.Rngs(0))
    x, x64 = _rounded(0, 32, 4)
    module(x, train=True)
    assert module.mean[...].dtype == module.var[...].dtype == jnp.float32
    np.testing.assert_allclose(module.mean[...], 0.1 * x64.mean(0), atol=1e-6)
    np.testing.assert_allclose(module.var[...], 0.9 + 0.1 * x64.var(0), atol=1e-6)


@pytest.mark.slow
def test_the_student_in_bfloat16_is_near_the_student_in_float32():
    """A rounding is 2**-9 at most; the trunks' dozens of them, as a random walk, make 2**-6, and twice that later on.

    Without the Fourier Enhancement: it scales every frequency of the tokens to unit size, and so enlarges what the
    trunks' rounding left in the weak ones without bound (the levels themselves are float32).
    """
    network, params, stats = student(foe="no")
    outputs = jax.jit(lambda *clips: network.apply(params, stats, *clips, train=False)[0])
    exact, rounded = outputs(*inputs(jnp.float32)), outputs(*inputs(jnp.bfloat16))
    for name, bound in (("main_tokens", 2**-6), ("luminous_tokens", 2**-6), ("fused", 2**-5), ("logits", 2**-5)):
        assert rounded[name].dtype == jnp.float32
        error = np.linalg.norm(rounded[name] - exact[name]) / np.linalg.norm(exact[name])
        assert 1e-5 < error < bound, (name, error)
