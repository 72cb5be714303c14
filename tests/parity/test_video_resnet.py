"""Every stage and the logits of the video ResNets, against plain PyTorch with the same tensors."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make parity installs it")

from lift_flax.models.functional import flatten  # noqa: E402
from lift_flax.models.video_resnet import TRUNKS  # noqa: E402
from lift_flax.weights import torch_video  # noqa: E402
from tests.reference.video_resnet import VideoResNet as Reference  # noqa: E402
from tests.support.weights_tools import fill, random_tensors, relative_error, stages, trunk_from_tensors  # noqa: E402

CASES = [("r2plus1d_34", 359, t, size) for t in (8, 30, 32) for size in (112, 224)]
CASES += [("r2plus1d_34_shared", 400, 8, 56), ("r2plus1d_18", 400, 16, 112)]
CASES += [("r3d_18", 400, 16, 112), ("mc3_18", 400, 16, 112), ("hara_34", 400, 16, 112), ("r3d_34", 400, 8, 56)]


@functools.cache
def _reference(name: str, classes: int):
    reference = Reference(name, classes).eval()
    tensors = random_tensors({n: tuple(v.shape) for n, v in reference.state_dict().items()})
    fill(reference, tensors)
    return reference, tensors


@pytest.mark.parametrize(("name", "classes", "frames", "size"), CASES)
def test_every_stage_and_the_logits(name, classes, frames, size):
    reference, tensors = _reference(name, classes)
    weights = torch_video.convert(tensors)
    assert weights.facts["name"] == name
    clip = np.random.default_rng(1).normal(size=(1, frames, size, size, 3)).astype(np.float32)
    with torch.inference_mode():
        theirs = reference(torch.from_numpy(clip).permute(0, 4, 1, 2, 3))
    network, params, stats = trunk_from_tensors(weights)
    ours = jax.jit(lambda p, s, x: stages(network.module(p, s), x))(params, stats, clip)
    assert set(ours) == set(theirs)
    for stage, value in ours.items():
        value = np.asarray(value) if stage == "logits" else np.asarray(value).transpose(0, 4, 1, 2, 3)
        error = relative_error(value, theirs[stage].numpy())
        print(f"{name} {frames}x{size} {stage}: {error:.2g}")
        assert error <= 1e-4, stage


@pytest.mark.parametrize("name", ["r2plus1d_18", "mc3_18", "hara_34"])
def test_gradients(name):
    """Of a scalar of the features, for every tensor but the classifier.

    In float64: in float32 a unit near zero may be on for one side and off for the other.
    """
    reference, tensors = _reference(name, 400)
    reference = copy.deepcopy(reference).double()
    clip = np.random.default_rng(2).normal(size=(2, 8, 32, 32, 3))
    reference(torch.from_numpy(clip).permute(0, 4, 1, 2, 3))["layer4"].square().mean().backward()
    theirs = dict(reference.named_parameters())
    with jax.enable_x64(True):
        network, params, stats = trunk_from_tensors(
            torch_video.convert({n: a.astype(float) for n, a in tensors.items()})
        )
        x = jnp.asarray(clip)
        loss = lambda p: (network.module(p, stats)(x, train=False)["features"] ** 2).mean()  # noqa: E731
        grads = jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(params))
    table = torch_video.tensors_of(TRUNKS[name])
    for path, grad in flatten(grads).items():
        tensor = table[f"params/{path}"]
        if tensor.stage != "fc":
            assert grad.dtype == np.float64
            expected = theirs[tensor.name].grad.numpy()
            got = torch_video.to_torch(f"params/{path}", grad, max(tensor.frames, 1))
            assert np.linalg.norm(got - expected) <= 1e-6 * np.linalg.norm(expected), tensor.name
