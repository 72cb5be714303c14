"""Weights of video ResNets: golden outputs of PyTorch, strictness, and the way back."""

import hashlib
import json
import re

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lift_flax.errors import UserError
from lift_flax.weights import convert, converted, to_torch, torch_video
from lift_flax.weights.check import check
from tests.golden import FOLDER
from tests.support.weights_tools import (
    GOLDEN_FRAMES,
    golden_clip,
    relative_error,
    sample,
    stages,
    trunk_from_tensors,
    trunk_shapes,
    trunk_tensors,
    zeros,
)

CLASSES = {"r2plus1d_34": 359, "r2plus1d_18": 400, "r3d_18": 400, "mc3_18": 400, "hara_34": 400}


GOLDEN = [(name, frames) for name, lengths in GOLDEN_FRAMES.items() for frames in lengths]
QUICK = next(case for case in GOLDEN if case[0] == "r2plus1d_18")


@pytest.mark.parametrize(
    ("name", "frames"), [pytest.param(*case, marks=[] if case == QUICK else pytest.mark.slow) for case in GOLDEN]
)
def test_stages_and_logits_are_those_of_pytorch(name, frames):
    weights = torch_video.convert(trunk_tensors(name, CLASSES[name]))
    assert weights.facts["name"] == name and not weights.new
    assert set(weights.ignored.values()) == {"a counter that nothing needs"}
    network, params, stats = trunk_from_tensors(weights)
    ours = jax.jit(lambda p, s, x: stages(network.module(p, s), x))(params, stats, golden_clip(frames))
    with np.load(FOLDER / f"{name}_{frames}.npz") as golden:
        assert set(golden.files) == set(ours)
        for stage, value in ours.items():
            value = np.asarray(value) if stage == "logits" else sample(np.asarray(value))
            assert relative_error(value, golden[stage]) <= 1e-4, stage


# SHA-256 of the sorted [name, shape] list, without counters, of the public files.
PUBLIC = {
    "r2plus1d_34": "c04ecd8f3ae6f795ba5596dd4a1a0ddeaee6caa994ad0c474a6a72ad20387fa9",
    "r3d_34": "6ee245948948ace0d70cc8cd40f22cebeef7abf41e32befcb74b866f2dcfc591",
    "r2plus1d_18": "1c41b84bcbb9630ea9938f1854f945e74a90baa89932a65d20ad7ae7bdbe1a0a",
    "r3d_18": "62256ce03a92e3c13c1f57132b8c4df50e1759b941c2bc349acec6095992897f",
    "mc3_18": "acb4666d81e656b9f503bdc5c3f8c8a82670e648ad67c0b9fa8a8b87f6a33c03",
}


@pytest.mark.parametrize(("name", "classes"), [("r2plus1d_34", 359), ("r3d_34", 400), *list(CLASSES.items())[1:4]])
def test_names_and_shapes_are_those_of_the_public_files(name, classes):
    shapes = sorted([n, list(s)] for n, s in trunk_shapes(name, classes).items() if "num_batches" not in n)
    assert hashlib.sha256(json.dumps(shapes).encode()).hexdigest() == PUBLIC[name]


@pytest.mark.slow
def test_the_public_files_are_told_apart():
    sizes = {}
    for name in (*CLASSES, "r2plus1d_34_shared", "r3d_34"):
        tensors = trunk_tensors(name, 1, draw=zeros)  # as many classes as `recognise` supposes
        assert torch_video.recognise(tensors) == name
        sizes[name] = len(torch_video.tensors_of(torch_video.TRUNKS[name]))
    assert sizes["r2plus1d_34"] == 347 and sizes["r3d_34"] == 182 and sizes["r3d_18"] == sizes["mc3_18"] == 102


def test_names_of_a_sequential_and_a_missing_classifier():
    usual = trunk_tensors("r2plus1d_tiny", 3)
    renamed = {}
    for name, array in usual.items():
        stage, _, rest = name.partition(".")
        if stage != "fc":
            renamed[f"features.{'0' if stage == 'stem' else stage[-1]}.{rest}"] = array
    renamed["fc_action.weight"] = np.zeros((4, 4), np.float32)
    weights = torch_video.convert(renamed)
    assert set(weights.new) == {"params/fc/kernel", "params/fc/bias"}
    assert weights.ignored["fc_action.weight"] == "the head of another network"
    np.testing.assert_array_equal(
        weights.arrays["params/stem_norm/scale"], torch_video.convert(usual).arrays["params/stem_norm/scale"]
    )


def test_disagreeing_shapes_name_three_tensors():
    tensors = trunk_tensors("r2plus1d_34", 11, draw=zeros)
    for layer in (2, 3, 4):
        name = f"layer{layer}.0.conv2.0.0.weight"
        tensors[name] = tensors[name][:100]
    with pytest.raises(UserError) as caught:
        torch_video.convert(tensors)
    message = str(caught.value)
    assert "layer2.0.conv2.0.0.weight is (100, 128, 1, 3, 3) instead of (288, 128, 1, 3, 3)" in message
    assert "layer3.0.conv2.0.0.weight 100, layer4.0.conv2.0.0.weight 100; known are 288, 576, 1152" in message
    assert "\n" not in message
    with pytest.raises(UserError, match="layer2.0.conv1.0.weight is .* instead of .*: is it a file of another network"):
        torch_video.convert({**trunk_tensors("r3d_18", 3, draw=zeros), "layer2.0.conv1.0.weight": np.zeros((1, 2))})


@pytest.mark.parametrize(("change", "message"), [
    ({"layer1.0.conv1.1.weight": None}, "nearest to r2plus1d_tiny but lacks layer1.0.conv1.1.weight"),
    ({"layer1.7.conv1.1.weight": np.zeros(3)}, "nearest to r2plus1d_tiny but also holds layer1.7.conv1.1.weight"),
    ({"decoder.weight": np.zeros(3)}, "holds decoder.weight, which is no part of r2plus1d_tiny"),
    ({"stem.0.weight": np.zeros((16, 2, 1, 7, 7))}, r"stem.0.weight is \(16, 2, 1, 7, 7\) instead of"),
])  # fmt: skip
def test_what_does_not_fit_is_named(change, message):
    tensors = {**trunk_tensors("r2plus1d_tiny", 3), **change}
    with pytest.raises(UserError, match=message):
        torch_video.convert({name: array for name, array in tensors.items() if array is not None})
    with pytest.raises(UserError, match="no video ResNet: it holds a, b"):
        torch_video.convert({"a": np.zeros(1), "b": np.zeros(1)})


@pytest.mark.parametrize(
    ("name", "eps"), [("r2plus1d_tiny", "0.001"), pytest.param("hara_34", "1e-05", marks=pytest.mark.slow)]
)
def test_convert_export_is_bit_identical(name, eps, tmp_path, capsys):
    tensors = {n: a for n, a in trunk_tensors(name, 7).items() if "num_batches" not in n}
    save_file(tensors, tmp_path / "theirs.safetensors")
    convert.main(["r2plus1d", str(tmp_path / "theirs.safetensors"), "--out", str(tmp_path / "ours")])
    out = capsys.readouterr().out
    assert f"{name}, 7 classes, BatchNorm eps {eps}" in out and "layer3" in out
    table = (tmp_path / "ours" / converted.TABLE).read_text()
    assert table.count("params/") == len(converted_params(tmp_path / "ours"))
    to_torch.main([str(tmp_path / "ours"), "--to", "safetensors"])
    back = load_file(tmp_path / "ours" / f"{name}.safetensors")
    assert back.keys() == tensors.keys()
    for tensor, array in tensors.items():
        assert back[tensor].tobytes() == np.ascontiguousarray(array).tobytes(), tensor
    with pytest.raises(UserError, match="cannot write /no/such"):
        to_torch.main([str(tmp_path / "ours"), "--to", "safetensors", "--out", "/no/such/folder/x"])
    with pytest.raises(UserError, match=r"exists: choose another name, or replace it with --overwrite"):
        to_torch.main([str(tmp_path / "ours"), "--to", "safetensors"])
    (written := tmp_path / "ours" / f"{name}.safetensors").write_bytes(b"older")
    to_torch.main([str(tmp_path / "ours"), "--overwrite"])
    assert load_file(written).keys() == tensors.keys()


def converted_params(folder) -> list[str]:
    return [name for name in converted.load_arrays(folder) if name.startswith("params/")]


def test_check_certifies_and_refuses(tmp_path, capsys):
    """Against what PyTorch computed with these tensors (tests/golden/make_golden.py)."""
    tensors = {n: a for n, a in trunk_tensors("r2plus1d_tiny", 3).items() if "num_batches" not in n}
    save_file(tensors, tmp_path / "w.safetensors")
    command = ["r2plus1d", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "ours"), "--overwrite"]
    with np.load(FOLDER / "check_trunk.npz") as golden:
        theirs = {"clip": golden_clip(), **golden}
    assert theirs.keys() == {"clip", "logits", "features"} and theirs["features"].shape == (1, 128, 1, 2, 2)
    means = {**theirs, "features": theirs["features"].mean(axis=(2, 3, 4))}
    for name, content in (("maps", theirs), ("means", means)):
        np.savez(tmp_path / f"{name}.npz", **content)
        convert.main([*command, "--check", str(tmp_path / f"{name}.npz")])
        printed = capsys.readouterr().out
        assert (
            len(re.findall(r"(?:logits|features): largest absolute error \S+, relative \S+e-0[678]: ok", printed)) == 2
        )
    checked = converted.load_facts(tmp_path / "ours")["checked"]
    assert checked["file"] == "means.npz" and 0 < checked["relative_error"] < 1e-5
    np.savez(tmp_path / "bad.npz", clip=theirs["clip"], features=theirs["features"] * 1.01)
    with pytest.raises(UserError, match=r"do not compute what .*bad.npz says \(relative error 0.0099"):
        convert.main([*command[:2], "--out", str(tmp_path / "refused"), "--check", str(tmp_path / "bad.npz")])
    assert not (tmp_path / "refused").exists()
    np.savez(tmp_path / "shape.npz", clip=theirs["clip"], logits=np.zeros((1, 9)))
    with pytest.raises(UserError, match=r"logits is \(1, 9\); these weights give logits \(1, 3\)"):
        convert.main([*command, "--check", str(tmp_path / "shape.npz")])
    with pytest.raises(UserError, match="already holds weights"):
        convert.main(command[:-1])


@pytest.mark.parametrize(
    "change", ["order", *(pytest.param(other, marks=pytest.mark.slow) for other in ("eps", "one"))]
)
def test_check_sees_what_is_wrong(tmp_path, change):
    """Another BatchNorm eps, kernels whose time runs backwards, one tensor of a later epoch."""
    tensors = {n: a for n, a in trunk_tensors("r2plus1d_tiny", 3).items() if "num_batches" not in n}
    weights = torch_video.convert(tensors)
    if change == "eps":
        weights.facts["bn_eps"] = 2e-2
    elif change == "order":
        kernel = "params/layer1/0/conv1/temporal/kernel"
        weights.arrays[kernel] = weights.arrays[kernel][::-1]
    else:
        weights.arrays["params/layer3/0/conv2/norm/scale"] = 1.1 * weights.arrays["params/layer3/0/conv2/norm/scale"]
    with np.load(FOLDER / "check_trunk.npz") as golden:
        np.savez(tmp_path / "theirs.npz", clip=golden_clip(), **golden)
    with pytest.raises(UserError, match="do not compute what"):
        check(weights, tmp_path / "theirs.npz")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    tensors = {n: a for n, a in trunk_tensors("r2plus1d_tiny", 3).items() if "num_batches" not in n}
    tensors["layer2.0.conv1.1.running_var"][3] = np.nan
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="layer2.0.conv1.1.running_var holds NaN or infinite values"):
        convert.main(["r2plus1d", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("flags", "message"), [
    (["r2plus1d", "{w}", "--out={out}", "--blocks=3"], "--blocks is for vit"),
    (["r2plus1d", "{w}", "--out={out}", "--num-heads=3"], "--num-heads is for vit"),
    (["r2plus1d", "{w}", "--out={out}", "--copy=ema"], "--copy=ema: 0 copies of the network are named so; choose"),
    (["r2plus1d", "{w}", "--out={out}", "--check=nowhere.npz"], "--check=nowhere.npz: no such file"),
    (["r2plus1d", "{w}", "--out={folder}"], "is not empty and holds no converted weights"),
    (["vit", "{w}", "--out={out}"], "looks like a video ResNet: convert it with `convert r2plus1d`"),
    (["r2plus1d", "{folder}", "--out={out}"], "is a folder: give a file"),
    (["r2plus1d", "{w}"], "arguments are required: --out"),
])  # fmt: skip
def test_mistakes_of_the_command_line(tmp_path, flags, message):
    tensors = {n: a for n, a in trunk_tensors("r2plus1d_tiny", 3).items() if "num_batches" not in n}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=message):
        convert.main([f.format(w=tmp_path / "w.safetensors", out=tmp_path / "out", folder=tmp_path) for f in flags])
