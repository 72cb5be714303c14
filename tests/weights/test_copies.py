"""Weights as trainers leave them: below wrappers and prefixes, beside an optimizer, twice, quantised."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lift_flax.errors import UserError
from lift_flax.weights import convert, converted, torch_video
from lift_flax.weights.copies import BESIDE, find_copy
from lift_flax.weights.pretrained import Pretrained
from lift_flax.weights.vits import vit
from tests.support.weights_tools import timm_tensors, trunk_tensors


@pytest.fixture(scope="module")
def trunk() -> dict[str, np.ndarray]:
    return trunk_tensors("r2plus1d_tiny", 3)


def _below(before: str, tensors: dict, scale: float = 1) -> dict:
    return {before + n: scale * a if a.dtype.kind == "f" else a for n, a in tensors.items()}


def _stem(tensors: dict) -> np.ndarray:
    return torch_video.convert(tensors).arrays["params/stem_norm/scale"]


BEFORE = [
    "module.", "model.", "net.", "backbone.", "encoder.", "video_model.trunk.", "module.model.", "model.module.",
    "state_dict.", "model_state_dict.", "model_state.module.", "state_dict.model.backbone.", "ema_model.module.",
    "state_dict_ema.",
]  # fmt: skip


@pytest.mark.parametrize("before", BEFORE)
def test_a_network_is_found_below_any_name(trunk, before):
    """With what stands beside it there: an optimizer with more tensors than the network, counters, a loss."""
    top = before.split(".")[0] + "." if before.count(".") > 1 else ""
    moments = {f"optimizer_states.0.state.{i}.exp_avg": np.zeros(3, np.float32) for i in range(3 * len(trunk))}
    beside = {**moments, f"{top}criterion.centre": np.zeros(3, np.float32), "n_averaged": np.array(7)}
    found = find_copy({**_below(before, trunk), **beside}, "r2plus1d")
    assert found.tensors.keys() == trunk.keys() and not found.others
    assert found.beside == dict.fromkeys(beside, BESIDE)
    assert found.where == f"the network's names begin with '{before}' in the file"
    np.testing.assert_array_equal(_stem(found.tensors), _stem(trunk))


def test_a_network_whose_names_stand_alone(trunk):
    moments = {"optimizer.state.0.exp_avg": np.zeros(3), "ema.shadow_params.0": np.zeros(3), "epoch": np.array(3)}
    found = find_copy({**trunk, **moments}, "r2plus1d")
    assert found.tensors.keys() == trunk.keys() and found.where == "" and found.beside.keys() == moments.keys()
    with pytest.raises(UserError, match="holds decoder.weight, which is no part of r2plus1d_tiny"):
        torch_video.convert(find_copy({**trunk, "decoder.weight": np.zeros(3)}, "r2plus1d").tensors)
    named = {f"optim.state.module.{n}.exp_avg": a for n, a in trunk.items()}  # by name, as FSDP keeps them
    assert find_copy({**_below("model.module.", trunk), **named}, "r2plus1d").before == "model.module."


@pytest.mark.parametrize(("before", "within", "where"), [
    ("_orig_mod.", "", "'_orig_mod.' is left out of the network's names"),
    ("module._orig_mod.", "", "begin with 'module.' in the file; '_orig_mod.' is left out"),
    ("_orig_mod.module.", "", "begin with 'module.' in the file; '_orig_mod.' is left out"),
    ("state_dict.model._orig_mod.module.", "", "begin with 'state_dict.model.module.'"),
    ("", "_checkpoint_wrapped_module.", "'_checkpoint_wrapped_module.' is left out of the network's names"),
    ("_fsdp_wrapped_module.", "_orig_mod.", "'_fsdp_wrapped_module.' is left out of the network's names; '_orig"),
])  # fmt: skip
def test_words_of_compilers_and_wrappers_are_left_out(trunk, before, within, where):
    """Of torch.compile around the whole network or around its stages, FSDP, and activation checkpointing."""
    tensors = {before + n.replace("layer1.", f"layer1.{within}"): a for n, a in trunk.items()}
    found = find_copy(tensors, "r2plus1d")
    assert found.tensors.keys() == trunk.keys() and where in found.where
    with pytest.raises(UserError, match="names some tensors twice, with and without '_orig_mod.'"):
        find_copy({**tensors, **{f"_orig_mod.{n}": a for n, a in tensors.items()}}, "r2plus1d")


@pytest.mark.parametrize(("trained", "average"), [
    ("state_dict.", "state_dict_ema."), ("model.", "model_ema.module."), ("", "ema."), ("module.", "ema_model."),
    ("state_dict.module.base_encoder.", "state_dict.module.momentum_encoder."), ("model.", "swa_model.module."),
    ("model.", "model.ema."), ("net._orig_mod.", "averaged_model.module._orig_mod."),
])  # fmt: skip
def test_of_two_copies_the_trained_one_is_taken_and_the_other_named(trunk, trained, average):
    both = {**_below(average, trunk, 2), **_below(trained, trunk)}
    found = find_copy(both, "r2plus1d")
    np.testing.assert_array_equal(_stem(found.tensors), _stem(trunk))
    plain = [name.replace("_orig_mod.", "").removesuffix(".") or "." for name in (trained, average)]
    assert f"lie below {', '.join(plain)}: {plain[0]} is taken; --copy=NAME takes another" in found.where
    for wanted in (plain[1], plain[1] + "."):
        other = find_copy(both, "r2plus1d", wanted)
        np.testing.assert_array_equal(_stem(other.tensors), 2 * _stem(trunk))
        assert set(other.beside.values()) == {f"of another copy, below {plain[0]}"}
    assert find_copy(both, "r2plus1d", plain[0]).before == found.before


def test_two_networks_are_a_question(trunk):
    both = {**_below("student.module.", trunk), **_below("teacher.module.", trunk)}
    with pytest.raises(UserError, match="holds 2 networks, below student.module, teacher.module: choose one with --co"):
        find_copy(both, "r2plus1d")
    assert find_copy(both, "r2plus1d", "teacher").before == "teacher.module."
    with pytest.raises(UserError, match="--copy=critic: 0 copies .* are named so; choose one of student.module, teach"):
        find_copy(both, "r2plus1d", "critic")
    with pytest.raises(UserError, match="--copy=ema: the names in the file show no copies of a network"):
        find_copy({"a": np.zeros(3)}, "r2plus1d", "ema")


@pytest.mark.parametrize("kind", ["int8", "uint8", "complex64"])
def test_numbers_that_are_no_weights_are_refused(trunk, kind):
    """Whatever else stands in the file: scales beside the integers do not make them another network's."""
    quantised = {n: a.astype(kind) if a.dtype.kind == "f" else a for n, a in trunk.items()}
    with pytest.raises(UserError, match=f"holds {kind}, not floating-point numbers: the file is quantised"):
        find_copy({**_below("model.", quantised), "model.stem.0.scale": np.ones(16, np.float32)}, "r2plus1d")
    one = {**trunk, "layer3.0.conv1.0.0.weight": quantised["layer3.0.conv1.0.0.weight"]}
    with pytest.raises(UserError, match="layer3.0.conv1.0.0.weight holds"):
        find_copy(one, "r2plus1d")
    moments = {"optimizer.state.0.exp_avg": np.zeros(9, kind)}  # of an optimizer with eight-bit states
    assert find_copy({**trunk, **moments}, "r2plus1d").tensors.keys() == trunk.keys()


def test_vits_are_found_as_well():
    tensors = timm_tensors(2, dim=64, grid=2)
    both = {**_below("state_dict.model.encoder.", tensors), "state_dict.model.decoder_embed.weight": np.zeros((2, 2))}
    found = find_copy(both, "vit")
    expected = vit.convert(tensors, 2, num_heads=2).arrays
    for name, array in vit.convert(found.tensors, 2, num_heads=2).arrays.items():
        np.testing.assert_array_equal(array, expected[name])
    with pytest.raises(UserError, match="convert it with `convert r2plus1d`"):
        vit.convert(find_copy(_below("net.", trunk_tensors("r2plus1d_tiny", 3)), "vit").tensors, 2)
    with pytest.raises(UserError, match="the file is a ViT: convert it with `convert vit`"):
        torch_video.convert(find_copy(both, "r2plus1d").tensors)
    with pytest.raises(UserError, match="in the spelling of torchvision: give that of timm"):
        vit.convert({"encoder.layers.encoder_layer_0.ln_1.weight": np.zeros(3)}, 2)


def test_the_command_says_what_it_took_and_keeps_it(trunk, tmp_path, capsys):
    """The other copy of one file is other weights: a run or a table that started from the first does not go on."""
    save_file({**_below("model.", trunk), **_below("model_ema.module.", trunk, 2)}, tmp_path / "w.safetensors")
    command = ["r2plus1d", str(tmp_path / "w.safetensors"), "--out"]
    convert.main([*command, str(tmp_path / "trained")])
    shown = capsys.readouterr().out
    assert "copies of the network lie below model, model_ema.module: model is taken; --copy=NAME" in shown
    assert "128 tensors ignored: of another copy, below model_ema.module" in shown
    assert "model_ema.module.stem.0.weight" in (tmp_path / "trained" / converted.TABLE).read_text()
    convert.main([*command, str(tmp_path / "average"), "--copy=model_ema"])
    one, two = (converted.load_arrays(tmp_path / name)["params/fc/bias"] for name in ("trained", "average"))
    np.testing.assert_array_equal(two, 2 * one)
    assert converted.load_facts(tmp_path / "average")["source"]["copy"] == "model_ema.module."
    assert len({Pretrained(tmp_path / name, "teacher").sha256 for name in ("trained", "average")}) == 2


@pytest.mark.parametrize(("name", "architecture", "heads"), [
    ("vit_small_patch16_224.augreg_in21k.safetensors", "", 6),
    ("deit_small_patch16_224-cd65a155.safetensors", "", 6),
    ("jx_vit_small_p16_224-15ec54c9.safetensors", "", 6),
    ("model.safetensors", "vit_small_patch16_224", 6),
    ("vit-s-300ep.safetensors", "", None),  # MoCo v3's, with twelve
    ("my_vit_small_patch16.safetensors", "", None),
    ("model.safetensors", "resnet50", None),
    ("vit_base_patch16_224.safetensors", "", "whose width is 768, and its tensors are 384 wide"),
])  # fmt: skip
def test_heads_of_a_named_vit(tmp_path, capsys, name, architecture, heads):
    """Named by timm's own name of the file, or by the config.json beside it; else asked for."""
    save_file(timm_tensors(1, dim=384, grid=2), tmp_path / name)
    if architecture:
        (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture}))
    command = ["vit", str(tmp_path / name), f"--out={tmp_path / 'out'}", "--blocks=1"]
    if isinstance(heads, int):
        convert.main(command)
        assert "6 heads, as " in capsys.readouterr().out
        assert _heads(tmp_path / "out") == heads
        convert.main([*command, "--overwrite", "--num-heads=12"])  # a flag says more than a name
        assert _heads(tmp_path / "out") == 12
        return
    with pytest.raises(UserError, match=heads or "add --num-heads=N, 6 for timm's ViT-S, 12 for MoCo v3's"):
        convert.main(command)
    convert.main([*command, "--num-heads=12"])
    assert _heads(tmp_path / "out") == 12 and "ViT-S/16, first 1 blocks, 12 heads" in capsys.readouterr().out


def _heads(folder: Path) -> int:
    return converted.load_facts(folder)["num_heads"]
