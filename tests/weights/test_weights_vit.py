"""Weights of ViTs: golden outputs of PyTorch, every public spelling, position embeddings, strictness."""

import jax
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.weights import convert, converted, vit
from lift_flax.weights.account import details
from tests.golden import FOLDER
from tests.support.weights_tools import (
    class_tokens,
    golden_images,
    google_tensors,
    pvit_from_tensors,
    relative_error,
    timm_tensors,
)


@pytest.mark.parametrize("gelu", ["exact", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_class_tokens_are_those_of_pytorch(gelu, bias):
    port = vit.port(timm_tensors(5, qkv_bias=bias), 5)
    assert port.facts["qkv_bias"] == bias and port.facts["gelu"] == "exact"
    port.facts["gelu"] = gelu
    network, params = pvit_from_tensors(port)
    ours = jax.jit(lambda p, x: class_tokens(network.module(p, {}), x))(params, golden_images())
    with np.load(FOLDER / f"vit_{gelu}_{'bias' if bias else 'nobias'}.npz") as golden:
        for mine, theirs in zip(np.asarray(ours), golden["tokens"], strict=True):
            assert relative_error(mine, theirs) <= 1e-4


@pytest.fixture(scope="module")
def timm() -> dict[str, np.ndarray]:
    """A small ViT of six blocks, with its last norm and head."""
    return timm_tensors(6, dim=192, grid=4, classes=9)


def _same(one: converted.Ported, two: converted.Ported) -> None:
    assert one.arrays.keys() == two.arrays.keys()
    for name in one.arrays:
        np.testing.assert_array_equal(one.arrays[name], two.arrays[name], err_msg=name)


def _rename(tensors: dict, *pairs: tuple[str, str]) -> dict:
    out = {}
    for name, array in tensors.items():
        for old, new in pairs:
            name = name.replace(old, new)
        out[name] = array
    return out


def _big_vision(tensors: dict) -> dict:
    """Its numbers, its prefix, and the class token's position within the token."""
    out = _rename(
        tensors, ("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"), ("MlpBlock_3", "MlpBlock_0"),
        ("LayerNorm_2", "LayerNorm_1"), ("Transformer/posembed_input/", ""),
    )  # fmt: skip
    out["pos_embedding"] = out["pos_embedding"][:, 1:]
    return {f"params/{name}": array for name, array in out.items()}


def _scanned(tensors: dict) -> dict:
    out = {n: a for n, a in tensors.items() if "encoderblock_" not in n}
    for name in tensors:
        if "encoderblock_0/" in name:
            layers = [tensors[name.replace("encoderblock_0", f"encoderblock_{i}")] for i in range(6)]
            out[name.replace("encoderblock_0", "encoderblock")] = np.stack(layers)
    return out


def test_google_and_timm_are_the_same_network(timm):
    expected = vit.port(timm, 5)
    google = google_tensors(timm, 6)
    port = vit.port(google, 5)
    _same(port, expected)
    assert (expected.facts["gelu"], port.facts["gelu"]) == ("exact", "tanh")
    assert port.facts["mean"] == [0.5] * 3 and port.facts["ln_eps"] == 1e-6
    assert set(port.ignored.values()) == {
        "blocks after the first 5", "the norm after the last block", "the classifier"
    }  # fmt: skip
    assert len(port.entries) + len(port.ignored) == len(google)
    moments = {f"opt/state/param_states/{n}/grad_ema": a for n, a in google.items()}
    _same(vit.port({f"opt/target/{n}": a for n, a in google.items()} | moments, 5), expected)
    text = {"params/txt/Encoder_0/encoderblock_0/LayerNorm_0/scale": np.ones(3), "params/t": np.ones(1)}
    _same(vit.port({f"params/img/{n}": a for n, a in google.items()} | text, 5), expected)
    table = details(port)
    assert all(entry.theirs in table and entry.ours in table for entry in port.entries)
    _same(vit.port(_scanned(google), 5), expected)
    assert any(n.endswith("[5:6]") for n in vit.port(_scanned(google), 5).ignored)
    big = vit.port(_big_vision(google), 5).arrays
    assert not big["params/positions"][:, 0].any()
    np.testing.assert_array_equal(big["params/positions"][:, 1:], expected.arrays["params/positions"][:, 1:])


def test_miil_has_no_qkv_bias_and_its_own_input(timm):
    port = vit.port(timm_tensors(5, dim=192, grid=4, qkv_bias=False), 5)
    assert not port.facts["qkv_bias"] and port.facts["mean"] == [0.0] * 3 and port.facts["std"] == [1.0] * 3


@pytest.mark.parametrize(("dim", "heads"), [(192, 3), (384, 6), (768, 12), (1024, 16)])
def test_sizes(dim, heads):
    facts = vit.port(timm_tensors(1, dim=dim, grid=2), 1).facts
    assert (facts["num_heads"], facts["mlp_dim"], facts["patch"], facts["grid"]) == (heads, 4 * dim, 16, 2)


@pytest.mark.parametrize(("change", "message"), [
    ({"blocks.2.norm1.weight": None}, "lacks blocks.2.norm1.weight: is it a ViT with a class token and at least 5"),
    ({"blocks.0.mlp.fc1.weight": np.zeros((5, 192))}, r"shapes disagree for ViT-Ti/16: blocks.0.mlp.fc1.weight gives"),
    ({"time_embed": np.zeros(3)}, "holds time_embed, which is no part of a plain ViT"),
    ({"pos_embed": np.zeros(3)}, "their shapes are not a ViT's"),
    ({"patch_embed.proj.weight": np.zeros((192, 768))}, "their shapes are not a ViT's"),
    ({"patch_embed.proj.weight": None, "cls_token": None}, "lacks embedding/kernel"),
])  # fmt: skip
def test_what_does_not_fit_is_named(timm, change, message):
    tensors = {n: a for n, a in {**timm, **change}.items() if a is not None}
    with pytest.raises(UserError, match=message):
        vit.port(tensors, 5)


def test_positions_resize_like_a_linear_zoom():
    grid = np.arange(16, dtype=np.float32).reshape(4, 4)
    positions = np.concatenate([[99], grid.ravel()]).reshape(1, 17, 1).astype(np.float32)
    resized = vit.resize_positions(positions, 7)[0, :, 0]
    assert resized[0] == 99
    np.testing.assert_allclose(resized[1:].reshape(7, 7)[::2, ::2], grid, atol=1e-6)  # corners on corners
    np.testing.assert_allclose(resized[1:].reshape(7, 7)[0], np.arange(0, 3.1, 0.5), atol=1e-6)
    np.testing.assert_array_equal(vit.resize_positions(positions, 4), positions)


def test_convert_and_check_from_the_command_line(timm, tmp_path, capsys):
    np.savez(tmp_path / "vit.npz", **google_tensors(timm, 6))
    port = vit.port(google_tensors(timm, 6), 5)
    network, params = pvit_from_tensors(port)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    features = np.asarray(jax.jit(lambda x: network.module(params, {})(x))(images))
    np.savez(tmp_path / "check.npz", clip=images, features=features)
    command = [
        "vit",
        str(tmp_path / "vit.npz"),
        "--out",
        str(tmp_path / "ours"),
        "--check",
        str(tmp_path / "check.npz"),
    ]
    convert.main(command)
    out = capsys.readouterr().out
    assert (
        "ViT-Ti/16, first 5 blocks, GELU tanh, with qkv biases, input mean [0.5, 0.5, 0.5]" in out
        and "features: largest" in out
    )
    assert converted.load_arrays(tmp_path / "ours").keys() == port.arrays.keys()
    with pytest.raises(UserError, match="--blocks=0"):
        convert.main([*command, "--blocks", "0"])
