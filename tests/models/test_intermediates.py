"""Named intermediates: they are what the definitions say, gradients reach them, and training does not pay for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.models.build import make_student
from lift_flax.models.functional import Network
from lift_flax.models.intermediates import Intermediates
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.video_resnet import STAGES
from tests.support.small_config import small_config
from tests.support.trained_tools import random_network

SIZES = {"data.num_frames": 3, "model.levels": 2}


def _student(arg: str = "tiny", **fields) -> tuple[Network, dict, dict]:
    return random_network(functools.partial(make_student, small_config(arg, **SIZES, **fields), 3))


def _clips(seed: int = 0) -> list[jax.Array]:
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=(1, 3, 32, 32, 3)), jnp.float32) for _ in range(2)]


def test_attention_weights_are_what_values_are_mixed_by():
    """Against the definition, in NumPy; and those of the first query alone are the first row."""
    attention = MultiHeadAttention(12, 2, rngs=nnx.Rngs(1))
    x, y = (np.random.default_rng(i).normal(size=(2, 3 + i, 12)).astype(np.float32) for i in (0, 1))
    inside, of_first = Intermediates(), Intermediates()
    found = attention(jnp.asarray(x), jnp.asarray(y), intermediates=inside)
    weights = np.asarray(inside.arrays["attention"])
    assert weights.shape == (2, 2, 3, 4)
    q, k, v = (
        (z @ np.asarray(part.kernel[...])).reshape(2, -1, 2, 6)
        for z, part in ((x, attention.query), (y, attention.key), (y, attention.value))
    )
    expected = np.exp(np.einsum("bsnd,brnd->bnsr", q, k) / np.sqrt(6))
    np.testing.assert_allclose(weights, expected / expected.sum(axis=-1, keepdims=True), rtol=1e-4)
    mixed = np.einsum("bnsr,brnd->bsnd", weights, v).reshape(2, 3, 12)
    np.testing.assert_allclose(found, mixed @ np.asarray(attention.out.kernel[...]), rtol=1e-3, atol=1e-5)
    attention.attend_one_query(jnp.asarray(x)[:, :1], jnp.asarray(y), intermediates=of_first)
    np.testing.assert_allclose(of_first.arrays["attention"], weights[:, :, :1], rtol=1e-4)


def test_every_part_of_the_student_names_its_arrays():
    """And the answer is the same with them as without."""
    network, params, stats = _student()

    @jax.jit
    def both(params, stats, dark, luminous):
        inside = Intermediates()
        named = network.module(params, stats)(dark, luminous, train=False, intermediates=inside)
        return named, inside.arrays, network.module(params, stats)(dark, luminous, train=False)

    named, arrays, plain = both(params, stats, *_clips())
    for name, value in plain.items():
        np.testing.assert_allclose(named[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    shapes = {name: array.shape for name, array in arrays.items()}
    tokens, e = (32 // 16) ** 2 + 1, 128
    levels = {
        f"levels/{i}/{part}": shape
        for i in range(2)
        for part, shape in {
            "lift/attention": (1, 4, 3, 3),
            "critic/attention": (1, 4, 3, 3),
            "fusion/attention": (1, 4, 3, 3),
            "fusion/before_foe": (1, 3, e),
            "fusion/after_foe": (1, 3, e),
        }.items()
    }
    assert shapes == levels | {
        "main/pvit/blocks/0/attention": (3, 2, tokens, tokens),
        "main/pvit/blocks/1/attention": (3, 2, 1, tokens),
        "main/pvit/blocks/0/normed": (3, tokens, 24),
        "main/pvit/blocks/1/normed": (3, tokens, 24),
        "trunk/layer1": (1, 3, 8, 8, 16),
        "trunk/layer2": (1, 2, 4, 4, 32),
        "trunk/layer3": (1, 1, 2, 2, 64),
        "trunk/layer4": (1, 1, 1, 1, 128),
        "fused": (1, 3, e),
    }
    np.testing.assert_array_equal(arrays["fused"], arrays["levels/1/fusion/after_foe"])
    np.testing.assert_array_equal(arrays["fused"], named["fused"])
    for name, array in arrays.items():
        if name.endswith("attention"):
            np.testing.assert_allclose(array.sum(axis=-1), 1, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_gradient_of_a_shift_is_that_of_the_intermediate():
    """Against the network cut in two at the stage, of a network whose training computes its parts again."""
    remat = {f"train.remat.{part}": True for part in ("trunk", "pvit", "levels")}
    network, params, stats = _student("tiny,teacher=r3d_tiny", **remat)
    dark, luminous = _clips()

    def logit(shift):
        inside = Intermediates(shifts={"trunk/layer2": shift})
        outputs = network.module(params, stats)(dark, luminous, train=False, intermediates=inside)
        return outputs["logits"][0, 1], inside.arrays["trunk/layer2"]

    def rest(x):
        model = network.module(params, stats)
        for name in STAGES[2:]:
            x = model.trunk.stage(name, x, train=False)
        tokens = jnp.broadcast_to(x.mean(axis=(1, 2, 3))[:, None], (1, 3, 128))  # layer4 has one frame here
        return model.head(model.fuse(model.main(dark), tokens), train=False)[0, 1]

    gradient, x = jax.jit(jax.grad(logit, has_aux=True))(jnp.zeros((1, 2, 4, 4, 32)))
    expected = jax.jit(jax.grad(rest))(x)
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("asked", [False, True])
def test_training_keeps_no_attention_weights(asked):
    """What a gradient's forward pass saves: the weights of every attention only where somebody asks for them."""
    network, params, stats = _student()
    dark, luminous = _clips()

    def loss(params):
        inside = Intermediates() if asked else None
        outputs = network.module(params, stats)(dark, luminous, train=True, intermediates=inside)
        weights = [array.var() for name, array in inside.arrays.items() if "attention" in name] if asked else []
        return outputs["logits"].var() + sum(weights)

    saved = jax.eval_shape(lambda params: jax.tree.leaves(jax.vjp(loss, params)[1]), params)
    of_patches = [leaf for leaf in saved if leaf.shape == (3, 2, 5, 5)]
    of_frames = [leaf for leaf in saved if leaf.shape == (1, 4, 3, 3)]
    assert (len(of_patches) > 0, len(of_frames) > 0) == (asked, asked)
