"""Operations are counted right: against known networks and by hand."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.layers.conv2d import conv2d
from lift_flax.models.video_resnet import TRUNKS, NormSpec, VideoResNet
from lift_flax.plan.flops import count_flops


def _shape(*dims: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(dims, jnp.float32)


@pytest.mark.parametrize(("size", "gmac"), [(224, 581), (112, 145)])
def test_r2plus1d_34(size, gmac):
    """The figures of docs/paper_notes.md, for one clip of 30 frames."""
    model = nnx.eval_shape(lambda: VideoResNet(TRUNKS["r2plus1d_34"], 11, norm=NormSpec(), rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(model)

    def forward(state, clip):
        return nnx.merge(graphdef, state)(clip, train=False)["logits"]

    counts = count_flops(forward, state, _shape(1, 30, size, size, 3))
    assert round(sum(counts.values()) / 2e9) == gmac


def test_layers_in_a_loop_and_attention_by_hand():
    batch, tokens, dim, layers = 3, 5, 16, 7
    attention = nnx.eval_shape(lambda: MultiHeadAttention(dim, 4, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(attention)

    def forward(kernels, state, x):
        with jax.named_scope("dense"):
            x, _ = jax.lax.scan(lambda x, kernel: (jax.nn.relu(x @ kernel), None), x, kernels)
        with jax.named_scope("attention"):
            return nnx.merge(graphdef, state)(x, x)

    shapes = (_shape(layers, dim, dim), state, _shape(batch, tokens, dim))
    rows = batch * tokens
    by_hand = {
        "dense": 2 * layers * rows * dim * dim,
        "attention": 2 * (4 * rows * dim * dim + 2 * rows * tokens * dim),  # q, k, v, out; scores and mixture
    }
    assert count_flops(forward, *shapes, parts=("dense", "attention")) == by_hand
    assert count_flops(forward, *shapes) == {"other": sum(by_hand.values())}


@pytest.mark.parametrize("remat", [False, True])
def test_gradients_belong_to_the_part_that_they_are_of(remat):
    """Twice the forward for each product, but the first one's input needs none; with remat the forward once more."""
    rows, dim, layers = 4, 8, 3
    product = 2 * rows * dim * dim

    def layer(x, kernel):
        return jnp.sin(x @ kernel), None

    def loss(first, kernels, x):
        with jax.named_scope("first"):
            x = jnp.sin(x @ first)
        with jax.named_scope("rest"):
            x, _ = jax.lax.scan(jax.checkpoint(layer) if remat else layer, x, kernels)
        return x.sum()

    shapes = (_shape(dim, dim), _shape(layers, dim, dim), _shape(rows, dim))
    counts = count_flops(jax.grad(loss, argnums=(0, 1)), *shapes, parts=("first", "rest"))
    assert counts == {"first": 2 * product, "rest": (4 if remat else 3) * layers * product}


def test_gradients_of_a_strided_convolution_cost_what_it_costs_itself():
    x, kernel = _shape(2, 8, 8, 3), _shape(4, 4, 3, 5)  # out: 2 images of 4 x 4

    def convolve(x, kernel):
        return conv2d(x, kernel, (2, 2), ((1, 1), (1, 1)))

    def both_gradients(x, kernel):
        return jax.grad(lambda x, kernel: jnp.sin(convolve(x, kernel)).sum(), argnums=(0, 1))(x, kernel)

    forward = 2 * (2 * 4 * 4 * 5) * (4 * 4 * 3)
    assert count_flops(convolve, x, kernel) == {"other": forward}
    assert count_flops(both_gradients, x, kernel) == {"other": 3 * forward}


def test_ffts_conditionals_and_what_nothing_depends_on():
    x = _shape(2, 8, 16)
    n = 8 * 16
    assert count_flops(lambda x: jnp.fft.fft2(x.astype(jnp.complex64)), x) == {"other": 2 * 5 * n * 7}
    assert count_flops(jnp.fft.rfft2, x)["other"] < 2 * 5 * n * 7

    def either(x):
        return jax.lax.cond(x[0, 0, 0] > 0, lambda x: x @ x.mT, lambda x: jnp.zeros((2, 8, 8)), x)

    assert count_flops(either, x) == {"other": 2 * (2 * 8 * 8) * 16}
    assert count_flops(lambda x: (x @ x.mT, x)[1], x) == {}


def test_work_in_a_shard_map_counts_on_every_device():
    mesh = jax.sharding.AbstractMesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec("data")
    mapped = jax.shard_map(lambda x: x @ x.mT, mesh=mesh, in_specs=rows, out_specs=rows)
    assert count_flops(mapped, _shape(8, 3, 5)) == {"other": 2 * (8 * 3 * 3) * 5}


def test_ways_for_certain_devices_do_not_count():
    def function(x):
        return jax.lax.platform_dependent(x, cpu=lambda x: jnp.ones(8) @ x, default=lambda x: x.sum(0))

    assert sum(count_flops(function, jnp.ones((8, 3))).values()) == 0
