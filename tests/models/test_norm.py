"""Norms, biases, GELU and attention have gradients of their own: those of plain differentiation, at any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.models.layers.attention import attend
from lift_flax.models.layers.dense import Linear, gelu, sum_of_rows
from lift_flax.models.layers.norm import BatchNorm, LayerNorm

SHAPES = [(2, 30, 3, 2, 5), (1, 64, 2, 3, 4), (2, 37, 1, 2, 3), (3, 7, 6), (8, 5)]  # 37 frames make no groups


def _parts(shape, dtype, make) -> tuple:
    """(graphdef, drawn parameters of a module over the last axis, the rest, an input, the weights of a loss)"""
    keys = jax.random.split(jax.random.key(0), 4)
    graphdef, params, rest = nnx.split(make(shape[-1], nnx.Rngs(0)), nnx.Param, ...)
    params, rest = nnx.to_pure_dict(params), nnx.to_pure_dict(rest)
    leaves, tree = jax.tree.flatten(params)
    params = tree.unflatten([jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=False)])
    x = 3 + 2 * jax.random.normal(keys[2], shape, dtype)
    return graphdef, params, rest, x, jax.random.normal(keys[3], shape, dtype)


def _layer_norm(params, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * params["scale"] + params["bias"]


def _plane_norm(params, x):
    plane = tuple(range(1, x.ndim))
    mean, var = x.mean(plane, keepdims=True), x.var(plane, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * params["scale"] + params["bias"]


def _batch_norm(params, x):
    rows = tuple(range(x.ndim - 1))
    return (x - x.mean(rows)) / jnp.sqrt(x.var(rows) + 1e-5) * params["scale"] + params["bias"]


KINDS = {
    "layer": (lambda size, rngs: LayerNorm(size, eps=1e-5, rngs=rngs), _layer_norm, {}),
    "plane": (lambda size, rngs: LayerNorm(size, eps=1e-5, over="plane", rngs=rngs), _plane_norm, {}),
    "batch": (lambda size, rngs: BatchNorm(size, eps=1e-5, momentum=0.9, rngs=rngs), _batch_norm, {"train": True}),
    "linear": (lambda size, rngs: Linear(size, size, rngs=rngs), lambda p, x: x @ p["kernel"] + p["bias"], {}),
}


@pytest.mark.parametrize("shape", [SHAPES[0], *(pytest.param(s, marks=pytest.mark.slow) for s in SHAPES[1:])], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_formula(kind, shape):
    make, formula, how = KINDS[kind]
    with jax.enable_x64(True):
        graphdef, params, rest, x, weights = _parts(shape, jnp.float64, make)
        params, rest = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, rest))
        ours = lambda params, x: (nnx.merge(graphdef, params, rest)(x, **how) * weights).sum()  # noqa: E731
        theirs = lambda params, x: (formula(params, x) * weights).sum()  # noqa: E731
        found = jax.jit(jax.value_and_grad(ours, (0, 1)))(params, x)
        expected = jax.value_and_grad(theirs, (0, 1))(params, x)
    for mine, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert mine.dtype == jnp.float64
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k == "batch" else pytest.mark.slow) for k in KINDS])
def test_bfloat16_inputs_have_bfloat16_gradients_and_parameters_float32_ones(kind):
    make, formula, how = KINDS[kind]
    graphdef, params, rest, x, weights = _parts((2, 33, 2, 2, 8), jnp.bfloat16, make)
    loss = lambda params, x: (nnx.merge(graphdef, params, rest)(x, **how) * weights).sum()  # noqa: E731
    found = jax.jit(jax.grad(loss, (0, 1)))(params, x)
    assert found[1].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(found[0])} == {jnp.dtype(jnp.float32)}
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, x, weights))
        expected = jax.grad(lambda params, x: (formula(params, x) * exact[2]).sum(), (0, 1))(*exact[:2])
    for mine, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        mine, other = np.asarray(mine, np.float64), np.asarray(other)
        error = np.linalg.norm(mine - other) / np.linalg.norm(other)
        assert error < 0.01, error  # eight bits


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_of_rows(shape):
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected = x.astype(np.float64).reshape(-1, shape[-1]).sum(0)
    np.testing.assert_allclose(jax.jit(sum_of_rows)(x), expected, rtol=1e-5, atol=1e-4)


def _softmax_attention(q, k, v):
    return jnp.einsum("BNSR,BNRD->BNSD", jax.nn.softmax(jnp.einsum("BNSD,BNRD->BNSR", q, k), -1), v)


@pytest.mark.parametrize(
    ("ours", "formula", "shapes"),
    [
        (attend, _softmax_attention, [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4)]),
        (gelu, lambda x: jax.nn.gelu(x, approximate=False), [(4, 9)]),
    ],
    ids=["attend", "gelu"],
)
def test_gradients_of_functions(ours, formula, shapes):
    with jax.enable_x64(True):
        arrays = [2 * jax.random.normal(jax.random.key(i), shape, jnp.float64) for i, shape in enumerate(shapes)]
        weights = jax.random.normal(jax.random.key(9), shapes[0], jnp.float64)
        found, expected = (
            jax.jit(jax.value_and_grad(lambda *a, f=f: (f(*a) * weights).sum(), tuple(range(len(arrays)))))(*arrays)
            for f in (ours, formula)
        )
    for mine, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)
