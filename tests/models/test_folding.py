"""Networks without BatchNorm are the networks that had it."""

import jax
import numpy as np
import pytest
from flax import nnx

from lift_flax.models.fold_batch_norm import fold_batch_norms
from lift_flax.models.functional import Network, Tree, flatten
from lift_flax.models.layers.norm import BatchNorm
from lift_flax.models.lift_net import Head
from lift_flax.models.video_resnet import NormSpec, TrunkSpec, VideoResNet
from tests.support.trained_tools import random_network, random_trained

TRUNKS = {
    "r2plus1d": TrunkSpec("2+1", (2, 1, 1, 1), (4, 6, 6, 8), stem_middle=4),
    "r3d": TrunkSpec("3", (1, 2, 1, 1), (4, 6, 6, 8)),
    "mc3": TrunkSpec("mc", (1, 1, 1, 1), (4, 6, 6, 8)),
    "hara": TrunkSpec("3", (1, 1, 1, 1), (4, 6, 6, 8), stem_frames=7, stem_pool=True, shortcut="pad"),
}


def _run(network: Network, params: Tree, stats: Tree, x):
    return jax.jit(lambda params, stats: network.module(params, stats)(x, train=False))(params, stats)


def _answer(module: nnx.Module, x):
    return jax.jit(lambda x: module(x, train=False))(x)


def _close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def _batch_norms(module: nnx.Module) -> list:
    return [path for path, part in nnx.iter_modules(module) if isinstance(part, BatchNorm)]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "r2plus1d" else pytest.mark.slow) for n in TRUNKS])
def test_trunks(name):
    make = lambda rngs: VideoResNet(TRUNKS[name], 3, norm=NormSpec(), rngs=rngs)  # noqa: E731
    network, params, stats = random_network(make)
    clip = jax.random.normal(jax.random.key(0), (2, 8, 32, 32, 3))
    expected, folded = _run(network, params, stats, clip), network.module(params, stats)
    assert _batch_norms(folded)
    fold_batch_norms(folded)
    assert not _batch_norms(folded)
    found = _answer(folded, clip)
    for output in ("logits", "features"):
        _close(found[output], expected[output])


def test_the_head():
    network, params, stats = random_network(lambda rngs: Head(8, 3, rngs=rngs))
    x = jax.random.normal(jax.random.key(0), (4, 5, 8))
    expected, folded = _run(network, params, stats, x), network.module(params, stats)
    fold_batch_norms(folded)
    assert not _batch_norms(folded)
    _close(_answer(folded, x), expected)


@pytest.mark.slow
def test_a_whole_student_keeps_its_teacher_and_shares_nothing():
    trained = random_trained("tiny", **{"train.trunk": "finetune"})
    before = jax.tree.map(np.array, flatten(trained.params))
    folded = trained.network.module(trained.params, trained.batch_stats)
    assert {"trunk", "teacher", "head"} == {path[0] for path in _batch_norms(folded)}
    fold_batch_norms(folded)
    assert not _batch_norms(folded)
    for path, array in flatten(trained.params).items():
        np.testing.assert_array_equal(array, before[path], err_msg=path)
