"""Shapes, exact parameter counts, and the identities that the networks promise."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.models import lift_net
from lift_flax.models.fusion import Level, LevelSpec
from lift_flax.models.layers import conv2d, video_conv
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.video_resnet import TRUNKS, NormSpec, VideoResNet, map_shape, middle_width
from lift_flax.models.vit import PViT


def _count(make) -> int:
    return sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(nnx.eval_shape(make), nnx.Param)))


def _trunk(name: str, num_classes: int):
    return lambda: VideoResNet(TRUNKS[name], num_classes, norm=NormSpec(), rngs=nnx.Rngs(0))


def _normal(seed: int, *shape: int):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters"),
    [
        ("r2plus1d_34", 359, 63_676_142),  # IG65M
        ("r2plus1d_18", 400, 31_505_325),  # torchvision
        ("r3d_18", 400, 33_371_472),  # torchvision
        ("r3d_34", 400, 63_681_104),
        ("mc3_18", 400, 11_695_440),  # torchvision
        (
            "hara_34",
            400,
            63_681_104 - 172_032 - 2 * 896 + 64 * 3 * 49 * 4,
        ),  # no shortcut tensors, seven frames in the stem
    ],
)
def test_trunks_have_the_published_parameters(name, num_classes, parameters):
    assert _count(_trunk(name, num_classes)) == parameters


def test_partial_vit_and_fusion_levels_have_the_expected_parameters():
    five_blocks = 5 * 7_087_872
    embeddings = 16 * 16 * 3 * 768 + 768 + 768 + 197 * 768
    vit = lambda: PViT(224, 5, 16, 768, 12, 3072, gelu="exact", ln_eps=1e-6, rngs=nnx.Rngs(0))  # noqa: E731
    assert _count(vit) == five_blocks + embeddings == 36_182_016
    whole = lambda: PViT(224, 12, 16, 768, 12, 3072, gelu="exact", ln_eps=1e-6, rngs=nnx.Rngs(0))  # noqa: E731
    classifier = 2 * 768 + 768 * 1000 + 1000  # the last norm and the head, which a PViT does not have
    assert _count(whole) + classifier == 86_567_656
    miil = lambda: PViT(224, 12, 16, 768, 12, 3072, gelu="exact", ln_eps=1e-6, qkv_bias=False, rngs=nnx.Rngs(0))  # noqa: E731
    assert _count(miil) + classifier == 86_540_008
    level = lambda: Level(512, LevelSpec(8), rngs=nnx.Rngs(0))  # noqa: E731
    assert _count(level) == 6_308_352


def test_middle_widths_are_those_of_ig65m():
    pairs = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    assert [middle_width(*p) for p in pairs] == [144, 230, 288, 460, 576, 921, 1152]


@pytest.mark.parametrize(("frames", "expected"), [(30, 4), (32, 4), (64, 8), (8, 1)])
def test_trunk_halves_time_and_space(frames, expected):
    model = nnx.eval_shape(_trunk("r2plus1d_34", 11))
    clip = jax.ShapeDtypeStruct((2, frames, 112, 112, 3), jnp.float32)
    out = nnx.eval_shape(lambda m, x: m(x, train=False), model, clip)
    assert out["features"].shape == (2, expected, 7, 7, 512)
    assert out["logits"].shape == (2, 11)


STRIDES = [(1, 1), (2, 2), (2, 1), (4, 4)]
KERNELS = [  # (size, padding)
    ((3, 3), ((1, 1), (1, 1))), ((3, 1), ((2, 1), (0, 0))), ((7, 7), ((3, 3), (3, 1))), ((3, 3), ((0, 2), (2, 0))),
]  # fmt: skip
OUTPUTS = [4, 6]
PATCH_BYTES = [2**11, 2**13, 2**20]  # rows of an image, some images or all at a time
CASES = list(itertools.product(STRIDES, KERNELS, OUTPUTS, PATCH_BYTES))
PAIRS = [  # of any two settings, every combination
    (STRIDES[i], KERNELS[j], OUTPUTS[(i + j // 2) % 2], PATCH_BYTES[(i + j) % 3]) for i in range(4) for j in range(4)
]


def test_the_quick_cases_hold_every_pair_of_settings():
    for a, b in itertools.combinations(range(4), 2):
        assert {(case[a], case[b]) for case in PAIRS} == {(case[a], case[b]) for case in CASES}


@pytest.mark.parametrize(
    ("strides", "kernel_and_padding", "outputs", "patch_bytes"),
    [pytest.param(*case, marks=[] if case in PAIRS else pytest.mark.slow) for case in CASES],
)
def test_convolution_gradients_are_exact(strides, kernel_and_padding, outputs, patch_bytes, monkeypatch):
    size, padding = kernel_and_padding
    monkeypatch.setattr(conv2d, "PATCH_BYTES", patch_bytes)
    x, kernel = _normal(0, 4, 16, 12, 5), _normal(1, *size, 5, outputs)

    def plain(x, kernel):
        return conv2d.convolve(x, kernel, strides, padding)

    cotangent = jax.random.normal(jax.random.key(2), jax.eval_shape(plain, x, kernel).shape)
    expected = jax.jit(lambda x, k, g: jax.vjp(plain, x, k)[1](g))(x, kernel, cotangent)
    ours = jax.jit(lambda x, k, g: jax.vjp(lambda x, k: conv2d.conv2d(x, k, strides, padding), x, k)[1](g))(
        x, kernel, cotangent
    )
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("padding", [((3, 0), (0, 0)), ((0, 0), (0, 1))])
def test_padding_as_wide_as_the_kernel_is_refused(padding):
    with pytest.raises(ValueError, match="at most its size less one"):
        conv2d.conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 1, 2, 2)), (1, 1), padding)


@pytest.mark.parametrize(("images", "rows", "row_bytes", "block"), [
    (4, 16, 2**10, (1, 4)),
    (4, 14, 2**10, (1, 2)),  # a divisor
    (4, 13, 2**10, (1, 1)),
    (4, 16, 2**13, (1, 1)),  # a row is too large
    (6, 2, 2**10, (2, 2)),  # two of them are four rows
    (5, 2, 2**10, (1, 2)),
    (4, 2, 2**8, (4, 2)),
])  # fmt: skip
def test_what_of_a_convolution_is_laid_out_at_a_time(images, rows, row_bytes, block, monkeypatch):
    monkeypatch.setattr(conv2d, "PATCH_BYTES", 2**12)
    assert conv2d._block(images, rows, row_bytes) == block


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2)])
def test_factorised_forms_equal_3d_convolution(strides):
    time_stride, stride = strides
    x = _normal(0, 2, 7, 10, 8, 3)

    def conv3d(kernel, strides, pads):
        dims = ("NDHWC", "DHWIO", "NDHWC")
        return jax.lax.conv_general_dilated(x, kernel, strides, [(p, p) for p in pads], dimension_numbers=dims)

    spatial = video_conv.SpatialConv(3, 4, size=3, stride=stride, rngs=nnx.Rngs(0))
    expected = conv3d(spatial.kernel[...][None], (1, stride, stride), (0, 1, 1))
    np.testing.assert_allclose(spatial(x), expected, atol=1e-5)

    temporal = video_conv.TemporalConv(3, 4, size=3, stride=time_stride, rngs=nnx.Rngs(0))
    expected = conv3d(temporal.kernel[...][:, :, None], (time_stride, 1, 1), (1, 0, 0))
    np.testing.assert_allclose(temporal(x), expected, atol=1e-5)

    full = video_conv.VideoConv(3, 4, sizes=(3, 3), strides=strides, rngs=nnx.Rngs(0))
    kernel = full.kernel[...].reshape(3, 3, 3, 3, 4).transpose(2, 0, 1, 3, 4)  # [kt, kh, kw, I, O]
    expected = conv3d(kernel, (time_stride, stride, stride), (1, 1, 1))
    np.testing.assert_allclose(full(x), expected, atol=1e-5)


def test_the_mean_of_the_patches_stands_beside_the_class_token():
    sizes, images = (32, 2, 8, 24, 2, 48), _normal(1, 2, 32, 32, 3)
    make = {"gelu": "quick", "ln_eps": 1e-5, "pre_norm": True, "final_norm": True}
    both = PViT(*sizes, **make, output="class+mean", rngs=nnx.Rngs(0))
    alone = PViT(*sizes, **make, rngs=nnx.Rngs(0))
    x = both.embed(images)
    np.testing.assert_allclose(x.mean(axis=-1), 0, atol=1e-6)  # of the norm before the first block
    for block in both.blocks:
        x = block(x)
    x = both.norm(x)
    found = np.asarray(both(images))
    np.testing.assert_allclose(found, np.concatenate([x[:, 0], x[:, 1:].mean(axis=1)], axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone(images), found[:, :24], rtol=1e-5, atol=1e-6)


def test_last_vit_block_for_the_class_token_alone_equals_the_whole_block():
    model = PViT(32, 3, 8, 24, 2, 48, gelu="exact", ln_eps=1e-6, rngs=nnx.Rngs(0))
    x = _normal(0, 4, 17, 24)
    block = model.blocks[-1]
    np.testing.assert_allclose(block(x, only_cls=True), block(x)[:, :1], atol=1e-5)
    assert model(_normal(1, 4, 32, 32, 3)).shape == (4, 24)


def test_pooling_windows_are_pytorchs():
    matrix = lift_net.pooling_matrix(30, 4)
    windows = [tuple(np.flatnonzero(row)) for row in matrix]
    expected = [(0,)] * 7 + [(0, 1)] + [(1,)] * 7 + [(2,)] * 7 + [(2, 3)] + [(3,)] * 7
    assert windows == expected
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert [tuple(np.flatnonzero(row)) for row in lift_net.pooling_matrix(3, 8)] == [(0, 1, 2), (2, 3, 4, 5), (5, 6, 7)]
    np.testing.assert_array_equal(lift_net.pooling_matrix(5, 5), np.eye(5))


def test_luminous_tokens_are_steps_or_places():
    features = _normal(0, 2, 3, 2, 4, 8)
    np.testing.assert_allclose(lift_net.luminous_tokens(features, 9, "steps"), features.mean((2, 3)), atol=1e-6)
    places = lift_net.luminous_tokens(features, 9, "places")
    assert places.shape == (2, 24, 8)
    np.testing.assert_array_equal(places[1, 8 + 4 + 3], features[1, 1, 1, 3])


@pytest.mark.parametrize("name", ["r2plus1d_tiny", "mc3_18", "hara_34"])
def test_shapes_of_maps_are_told_without_the_network(name):
    for frames, size in ((12, 64), (9, 40)):
        network = lambda: VideoResNet(TRUNKS[name], 3, norm=NormSpec(), rngs=nnx.Rngs(0))  # noqa: E731
        clip = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
        features = nnx.eval_shape(lambda clip: network()(clip, train=False)["features"], clip)  # noqa: B023
        assert features.shape[1:4] == map_shape(TRUNKS[name], frames, size)


def test_luminous_tokens_average_space_and_spread_time():
    features = _normal(0, 2, 4, 3, 5, 6)
    tokens = lift_net.luminous_tokens(features, 30)
    assert tokens.shape == (2, 30, 6)
    np.testing.assert_allclose(tokens[:, 0], features[:, 0].mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(tokens[:, 7], features[:, :2].mean(axis=(1, 2, 3)), atol=1e-6)


def test_attention_equals_jax():
    attention = MultiHeadAttention(32, 4, rngs=nnx.Rngs(0))
    x, y = _normal(0, 2, 6, 32), _normal(1, 2, 9, 32)
    q, k, v = (
        layer(z).reshape(2, -1, 4, 8)
        for layer, z in zip((attention.query, attention.key, attention.value), (x, y, y), strict=True)
    )
    expected = attention.out(jax.nn.dot_product_attention(q, k, v).reshape(2, 6, 32))
    np.testing.assert_allclose(attention(x, y), expected, atol=1e-5)
