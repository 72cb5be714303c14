"""The class token after every block of a ViT-B/16, against plain PyTorch with the same tensors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make parity installs it")

from lift_flax.models.functional import flatten  # noqa: E402
from lift_flax.weights.vits import vit  # noqa: E402
from tests.reference.vit import ViT as Reference  # noqa: E402
from tests.support.weights_tools import class_tokens, fill, pvit_from_tensors, random_tensors, relative_error  # noqa: E402


def _reference(gelu: str, qkv_bias: bool, blocks: int = 12):
    reference = Reference(gelu=gelu, qkv_bias=qkv_bias, blocks=blocks)
    tensors = random_tensors({n: tuple(v.shape) for n, v in reference.state_dict().items()})
    fill(reference, tensors)
    return reference, tensors


def _converted(tensors, gelu, blocks):
    weights = vit.convert(tensors, blocks, num_heads=12)
    weights.facts["gelu"] = gelu  # timm's files mean the exact one
    return weights


@pytest.mark.parametrize("gelu", ["exact", "tanh"])
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_class_token_after_every_block(gelu, qkv_bias):
    reference, tensors = _reference(gelu, qkv_bias)
    images = np.random.default_rng(1).normal(size=(2, 224, 224, 3)).astype(np.float32)
    with torch.inference_mode():
        theirs = reference(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    weights = _converted(tensors, gelu, 12)
    assert weights.facts["qkv_bias"] == qkv_bias and not weights.ignored
    network, params = pvit_from_tensors(weights)
    ours = jax.jit(lambda p, x: class_tokens(network.module(p, {}), x))(params, images)
    for block, (mine, expected) in enumerate(zip(np.asarray(ours), theirs, strict=True)):
        error = relative_error(mine, expected)
        print(f"gelu {gelu}, qkv bias {qkv_bias}, block {block + 1}: {error:.2g}")
        assert error <= 1e-4
    network, params = pvit_from_tensors(_converted(tensors, gelu, 5))  # what LIFT-Net takes: CLS alone of block five
    assert relative_error(jax.jit(lambda p, x: network.module(p, {})(x))(params, images), theirs[4]) <= 1e-4


def test_gradient_of_the_first_block_through_the_others():
    reference, tensors = _reference("exact", True, blocks=5)
    images = np.random.default_rng(3).normal(size=(2, 224, 224, 3)).astype(np.float32)
    reference(torch.from_numpy(images).permute(0, 3, 1, 2))[-1].square().mean().backward()
    network, params = pvit_from_tensors(_converted(tensors, "exact", 5))
    grads = jax.jit(jax.grad(lambda p: (network.module(p, {})(jnp.asarray(images)) ** 2).mean()))(params)
    theirs = vit.convert({name: p.grad.numpy() for name, p in reference.named_parameters()}, 5, num_heads=12).arrays
    for path, grad in flatten(grads["blocks"]["0"]).items():
        expected = theirs[f"params/blocks/0/{path}"]
        error = np.linalg.norm(np.asarray(grad) - expected)
        limit = 1e-6 if path == "attention/key/bias" else 1e-3 * np.linalg.norm(expected)  # zero in exact arithmetic
        assert error <= limit, path
