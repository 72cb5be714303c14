"""Weights of ViTs: golden outputs of PyTorch, every public spelling, position embeddings, strictness."""

import re

import jax
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.weights import convert, converted
from lift_flax.weights.tables import details
from lift_flax.weights.vits import positions, vit
from tests.golden import FOLDER
from tests.support.weights_tools import (
    class_tokens,
    golden_images,
    google_tensors,
    pvit_from_tensors,
    relative_error,
    timm_tensors,
)

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("gelu", "bias"),
    [("exact", True), *(pytest.param(*c, marks=SLOW) for c in (("tanh", True), ("exact", False), ("tanh", False)))],
)
def test_class_tokens_are_those_of_pytorch(gelu, bias):
    weights = vit.convert(timm_tensors(5, qkv_bias=bias), 5, num_heads=12)
    assert weights.facts["qkv_bias"] == bias and weights.facts["gelu"] == "exact"
    weights.facts["gelu"] = gelu
    network, params = pvit_from_tensors(weights)
    ours = jax.jit(lambda p, x: class_tokens(network.module(p, {}), x))(params, golden_images())
    with np.load(FOLDER / f"vit_{gelu}_{'bias' if bias else 'nobias'}.npz") as golden:
        for mine, theirs in zip(np.asarray(ours), golden["tokens"], strict=True):
            assert relative_error(mine, theirs) <= 1e-4


@pytest.fixture(scope="module")
def timm() -> dict[str, np.ndarray]:
    """A small ViT of six blocks, with its last norm and head."""
    return timm_tensors(6, dim=192, grid=4, classes=9)


def _same(one: converted.ConvertedWeights, two: converted.ConvertedWeights) -> None:
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
    expected = vit.convert(timm, 5, num_heads=3)
    google = google_tensors(timm, 6)
    weights = vit.convert(google, 5)
    _same(weights, expected)
    assert (expected.facts["gelu"], weights.facts["gelu"]) == ("exact", "tanh")
    assert weights.facts["mean"] == [0.5] * 3 and weights.facts["ln_eps"] == 1e-6
    assert set(weights.ignored.values()) == {
        "blocks after the first 5", "the norm after the last block", "the classifier"
    }  # fmt: skip
    assert len(weights.entries) + len(weights.ignored) == len(google)
    moments = {f"opt/state/param_states/{n}/grad_ema": a for n, a in google.items()}
    _same(vit.convert({f"opt/target/{n}": a for n, a in google.items()} | moments, 5), expected)
    text = {"params/txt/Encoder_0/encoderblock_0/LayerNorm_0/scale": np.ones(3), "params/t": np.ones(1)}
    _same(vit.convert({f"params/img/{n}": a for n, a in google.items()} | text, 5), expected)
    table = details(weights)
    assert all(entry.theirs in table and entry.ours in table for entry in weights.entries)
    _same(vit.convert(_scanned(google), 5), expected)
    assert any(n.endswith("[5:6]") for n in vit.convert(_scanned(google), 5).ignored)
    big = vit.convert(_big_vision(google), 5).arrays
    assert not big["params/positions"][:, 0].any()
    np.testing.assert_array_equal(big["params/positions"][:, 1:], expected.arrays["params/positions"][:, 1:])


def test_miil_has_no_qkv_bias_and_its_own_input(timm):
    weights = vit.convert(timm_tensors(5, dim=192, grid=4, qkv_bias=False), 5, num_heads=3)
    assert not weights.facts["qkv_bias"] and weights.facts["mean"] == [0.0] * 3 and weights.facts["std"] == [1.0] * 3


@pytest.mark.parametrize(("dim", "heads"), [(192, 3), (384, 6), (384, 12), (1280, 16)])
def test_heads_are_those_that_were_named(dim, heads):
    """Those of timm's ViT-S are 64 wide, of MoCo v3's 32, of ViT-H 80: the fused qkv looks the same for all."""
    tensors = timm_tensors(1, dim=dim, grid=2)
    facts = vit.convert(tensors, 1, num_heads=heads).facts
    assert (facts["num_heads"], facts["mlp_dim"], facts["patch"], facts["grid"]) == (heads, 4 * dim, 16, 2)
    with pytest.raises(UserError, match=f"how many heads its attention of width {dim} has.*add --num-heads=N, "):
        vit.convert(tensors, 1)
    with pytest.raises(UserError, match=f"--num-heads=7: the width {dim} does not divide by it"):
        vit.convert(tensors, 1, num_heads=7)


def test_googles_tensors_show_their_heads(timm):
    google = google_tensors(timm, 6)
    assert vit.convert(google, 5).facts["num_heads"] == 3
    with pytest.raises(UserError, match="--num-heads=6: the file's tensors show 3 heads"):
        vit.convert(google, 5, num_heads=6)
    flat = {n: a.reshape(192, 192) if a.ndim == 3 and "attention" in n.lower() else a for n, a in google.items()}
    with pytest.raises(UserError, match="does not show how many heads"):
        vit.convert(flat, 5)
    _same(vit.convert(flat, 5, num_heads=3), vit.convert(google, 5))


@pytest.mark.parametrize(("change", "message"), [
    ({"blocks.2.norm1.weight": None}, "lacks blocks.2.norm1.weight: is it a ViT with a class token and at least 5"),
    ({"blocks.0.mlp.fc1.weight": np.zeros((5, 192))}, r"shapes disagree for ViT-Ti/16: blocks.0.mlp.fc1.weight gives"),
    ({"time_embed": np.zeros(3)}, "holds time_embed, which is no part of a plain ViT"),
    ({"reg_token": np.zeros(3)}, "has register tokens: give the DINOv2"),
    ({"reg_token": np.zeros(3), "pos_embed": None}, "is DINOv3, whose positions are rotations"),
    ({"dist_token": np.zeros(3)}, "is a distilled DeiT"),
    ({"norm_pre.weight": np.zeros(192), "norm_pre.bias": np.zeros(192)}, "do not show its GELU: add --gelu=quick"),
    ({"pos_embed": np.zeros(3)}, "their shapes are not a ViT's"),
    ({"patch_embed.proj.weight": np.zeros((192, 768))}, "their shapes are not a ViT's"),
    ({"patch_embed.proj.weight": None, "cls_token": None}, "lacks patch_embed.proj.weight"),
    ({"patch_embed.proj.weight": None, "patch_embed.proj.bias": None}, "lacks embedding/kernel"),
])  # fmt: skip
def test_what_does_not_fit_is_named(timm, change, message):
    tensors = {n: a for n, a in {**timm, **change}.items() if a is not None}
    with pytest.raises(UserError, match=message):
        vit.convert(tensors, 5, num_heads=3)


def test_positions_resize_like_a_linear_zoom():
    grid = np.arange(16, dtype=np.float32).reshape(4, 4)
    stored = np.concatenate([[99], grid.ravel()]).reshape(1, 17, 1).astype(np.float32)
    resized = positions.resize(stored, 7)[0, :, 0]
    assert resized[0] == 99
    np.testing.assert_allclose(resized[1:].reshape(7, 7)[::2, ::2], grid, atol=1e-6)  # corners on corners
    np.testing.assert_allclose(resized[1:].reshape(7, 7)[0], np.arange(0, 3.1, 0.5), atol=1e-6)
    np.testing.assert_array_equal(positions.resize(stored, 4), stored)


@pytest.mark.parametrize(("old", "new"), [(14, 7), (7, 14), (14, 24), (4, 3), (1, 2), (3, 1), (4, 1)])
def test_positions_are_linear_between_the_old_ones(old, new):
    stored = np.random.default_rng(0).standard_normal((1, 1 + old * old, 3)).astype(np.float32)
    at = np.linspace(0, old - 1, new) if new > 1 else np.array([(old - 1) / 2])
    table = stored[0, 1:].reshape(old, old, 3)
    rows = np.apply_along_axis(lambda line: np.interp(at, np.arange(old), line), 0, table)
    expected = np.apply_along_axis(lambda line: np.interp(at, np.arange(old), line), 1, rows)  # [new, new, 3]
    resized = positions.resize(stored, new)
    assert resized.dtype == np.float32
    np.testing.assert_array_equal(resized[:, 0], stored[:, 0])
    np.testing.assert_allclose(resized[0, 1:].reshape(new, new, 3), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", positions.WAYS)
def test_a_table_that_is_alike_everywhere_stays_so(way):
    stored = np.full((1, 1 + 37 * 37, 2), 3.0, np.float32)
    for grid in (16, 40):
        np.testing.assert_allclose(
            positions.resize(stored, grid, way), np.full((1, 1 + grid * grid, 2), 3.0), rtol=1e-6
        )


@pytest.mark.parametrize("heads", [pytest.param(3, marks=SLOW), 6])
def test_convert_and_check_from_the_command_line(tmp_path, capsys, heads):
    """Against what PyTorch computed with these tensors, whose heads are 64 or 32 wide (tests/golden/make_golden.py)."""
    google = google_tensors(timm_tensors(6, dim=192, grid=4), 6, heads=heads)
    np.savez(tmp_path / "vit.npz", **google)
    with np.load(FOLDER / f"check_vit_{heads}.npz") as golden:
        np.savez(tmp_path / "check.npz", clip=golden_images(64), **golden)
    flags = {"out": tmp_path / "ours", "check": tmp_path / "check.npz"}
    command = ["vit", str(tmp_path / "vit.npz"), *(f"--{name}={value}" for name, value in flags.items())]
    convert.main(command)
    out = capsys.readouterr().out
    assert f"ViT-Ti/16, first 5 blocks, {heads} heads, GELU tanh, with qkv biases, input mean [0.5, 0.5, 0.5]" in out
    assert re.search(r"features: largest absolute error \S+, relative \S+e-0[678]: ok", out)
    assert converted.load_arrays(tmp_path / "ours").keys() == vit.convert(google, 5).arrays.keys()
    with np.load(FOLDER / f"check_vit_{9 - heads}.npz") as golden:  # of the other number of heads
        np.savez(tmp_path / "check.npz", clip=golden_images(64), **golden)
    with pytest.raises(UserError, match="do not compute what"):
        convert.main([*command, "--overwrite"])
    with pytest.raises(UserError, match="--blocks=0"):
        convert.main([*command, "--blocks", "0"])
