"""Blocks in one scan, or computed again for the gradient, are the same network; frozen ones get no gradients."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.models import build, functional
from lift_flax.models.fusion import Level, LevelSpec
from lift_flax.models.layers.scan_blocks import scan_blocks
from lift_flax.models.video_resnet import NormSpec, TrunkSpec, VideoResNet
from lift_flax.models.vit import PViT
from lift_flax.train import optim
from tests.support.small_config import small_config


class Levels(nnx.Module):
    """Four fusion levels as LiftNet runs them."""

    def __init__(self, *, remat: bool, unroll: bool, rngs: nnx.Rngs):
        self.levels = nnx.List([Level(16, LevelSpec(2, critic_mlp_ratio=2), rngs=rngs) for _ in range(4)])
        self.how = {"remat": remat, "unroll": unroll}

    def __call__(self, x, *, train):
        del train
        x, y = scan_blocks(lambda level, pair: level(*pair), self.levels, (x, 2 * x), **self.how)
        return {"out": x + y}


class Vit(nnx.Module):
    """PViT with the signature of a trunk."""

    def __init__(self, *, remat: bool, rngs: nnx.Rngs):
        self.pvit = PViT(16, 5, 8, 12, 2, 24, gelu="exact", ln_eps=1e-6, remat=remat, rngs=rngs)

    def __call__(self, x, *, train):
        del train
        return {"out": self.pvit(x)}


class Trunk(nnx.Module):
    """An R(2+1)D whose stages have runs of three, two and no blocks alike."""

    def __init__(self, *, remat: bool, unroll: bool = True, rngs: nnx.Rngs):
        spec = TrunkSpec("2+1", (3, 3, 1, 1), (4, 6, 6, 8), stem_middle=4)
        self.trunk = VideoResNet(spec, 3, norm=NormSpec(), remat=remat, rngs=rngs)
        self.trunk.unroll = unroll

    def __call__(self, x, *, train):
        return {"out": self.trunk(x, train=train)["logits"]}


NETWORKS = {  # name: (module, shape of its input, dtype, bound); in float32 the FoE of the levels enlarges rounding
    "levels": (Levels, (2, 6, 16), jnp.float64, 1e-9),
    "trunk": (Trunk, (4, 8, 16, 16, 3), jnp.float32, 1e-4),
}


def _made(make) -> tuple:
    """(network, params, batch_stats)"""
    network, draw = functional.create(make, 0)
    return network, *jax.jit(draw)()


@functools.cache
def _results(name: str, *, remat: bool, unroll: bool) -> dict:
    """Outputs, new statistics and gradients, all by path."""
    make, shape, dtype, _ = NETWORKS[name]
    network, *arrays = _made(lambda rngs: make(rngs=rngs, remat=remat, unroll=unroll))
    with jax.enable_x64(dtype == jnp.float64):
        params, stats = jax.tree.map(lambda x: jnp.asarray(x, dtype), arrays)
        return _computed(network, params, stats, jax.random.normal(jax.random.key(1), shape, dtype))


def _computed(network, params, stats, x) -> dict:

    def loss(params):
        outputs, new = network.apply(params, stats, x, train=True)
        out = outputs["out"]
        return (out * jnp.arange(out.size).reshape(out.shape) / out.size).sum(), (out, new)

    (_, (out, new)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert functional.flatten(new).keys() == functional.flatten(stats).keys()
    return functional.flatten({"out": out, "stats": new, "grads": grads})


@pytest.mark.parametrize(("name", "remat", "unroll"), [
    ("levels", False, False),
    *(pytest.param(name, remat, unroll, marks=pytest.mark.slow)
      for name in NETWORKS for remat, unroll in ((False, False), (True, False), (True, True))
      if (name, remat) != ("levels", False)),
])  # fmt: skip
def test_scanned_blocks_equal_a_loop_over_them(name, remat, unroll):
    *_, dtype, bound = NETWORKS[name]
    expected = _results(name, remat=False, unroll=True)
    found = _results(name, remat=remat, unroll=unroll)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        atol = bound * (0.2 * np.abs(value).max() + 0.01)
        assert value.dtype == dtype
        np.testing.assert_allclose(found[path], value, rtol=bound, atol=atol, err_msg=f"{path} {remat=} {unroll=}")


def _equations(jaxpr):
    """All equations, those inside of loops, branches and calls included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _gradient_jaxpr(network, params, stats, x, trains):
    trainable, frozen = optim.split_params(params, trains)

    def loss(trainable, x):
        out, _ = network.apply(optim.merge_params(trainable, frozen), stats, x, train=False)
        return out["out"].astype(jnp.float32).sum()

    return jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(trainable, x).jaxpr


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("trains", "products"), [("pvit/blocks/0/", 6), ("pvit/", 4 * 6 + 4 + 1), ("none", 0)], ids=["first", "all", "none"]
)
def test_frozen_vit_blocks_have_no_kernel_gradients(trains, products, remat):
    """Six a block, four the last (it makes no keys and values), and the patches' one.

    In a bfloat16 network nothing else is [I, O] float32.
    """
    network, params, stats = _made(lambda rngs: Vit(remat=remat, rngs=rngs))
    x = jnp.ones((2, 16, 16, 3), jnp.bfloat16)
    jaxpr = _gradient_jaxpr(network, params, stats, x, lambda path: path.startswith(trains))
    found = [e.outvars[0].aval for e in _equations(jaxpr) if e.primitive.name == "dot_general"]
    assert sum(aval.dtype == jnp.float32 and aval.ndim == 2 for aval in found) == products


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_frozen_trunk_has_no_kernel_gradients(remat):
    """In a bfloat16 network nothing but they is float32 and has the shape of a kernel."""
    network, params, stats = _made(lambda rngs: Trunk(remat=remat, rngs=rngs))
    x = jnp.ones((2, 8, 16, 16, 3), jnp.bfloat16)
    kernels = {leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 4}
    for trains in (True, False):
        jaxpr = _gradient_jaxpr(network, params, stats, x, lambda path, trains=trains: trains)
        made = [variable.aval for e in _equations(jaxpr) for variable in e.outvars]
        found = {aval.shape for aval in made if aval.dtype == jnp.float32} & kernels
        assert found == (kernels if trains else set())
        assert "conv_general_dilated" in {e.primitive.name for e in _equations(jaxpr)}


def test_every_part_is_named_in_the_program():
    config = small_config("tiny", **{"train.trunk": "finetune", "model.levels": 2})
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, num_frames=8))
    network, draw = functional.create(lambda rngs: build.make_student(config, 3, rngs), 0)
    clip = jax.ShapeDtypeStruct((2, 8, 32, 32, 3), jnp.float32)
    outputs = jax.jit(lambda params, stats, clip: network.apply(params, stats, clip, clip, train=True)[0])
    text = outputs.lower(*jax.eval_shape(draw), clip).as_text(debug_info=True)
    stages = [f"{trunk}/{part}/" for trunk in ("trunk", "teacher") for part in ("stem", "layer1", "layer4")]
    for scope in ("pvit/", "project/", "levels/", "head/", "teacher/fc/", *stages):
        assert f"/{scope}" in text, scope
