"""Starting from converted weights: what fits, what travels with them, and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import optax
import pytest

from lift_flax import presets
from lift_flax.calls.created_model import create_model
from lift_flax.errors import UserError
from lift_flax.models import functional
from lift_flax.models.build import with_bn_eps
from lift_flax.train import phases, run
from lift_flax.weights import converted, to_torch, torch_video
from lift_flax.weights.pretrained import with_settings
from lift_flax.weights.vits import positions, vit
from tests.support.small_config import small_config
from tests.support.weights_tools import timm_tensors, trunk_tensors

CLASSES = 3
PVIT = {"model.pvit.dim": 64, "model.pvit.num_heads": 1, "model.pvit.mlp_dim": 256}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, str]:
    """Folders of converted weights: a teacher of seven classes, and ViTs with and without qkv biases."""
    root = tmp_path_factory.mktemp("weights")
    teacher = torch_video.convert(trunk_tensors("r2plus1d_tiny", 7))
    teacher.facts["bn_eps"] = 2e-3  # not the config's, to see it travel
    made = {"teacher": teacher, "vit": vit.convert(timm_tensors(3, dim=64, grid=4), 3, num_heads=1)}
    made["miil"] = vit.convert(timm_tensors(3, dim=64, grid=2, qkv_bias=False), 3, num_heads=1)
    for name, weights in made.items():
        weights.facts["source"] = {"file": f"{name}.pth", "sha256": name.encode().hex()}
        converted.save(weights, "", root / name)
    return {name: str(root / name) for name in ("teacher", "vit", "miil")}


def test_settings_come_with_the_weights(weights, capsys):
    fields = {"model.teacher.init_from": weights["teacher"], "model.pvit.init_from": weights["miil"], **PVIT}
    config = with_settings(small_config(**fields))
    assert config.model.teacher.bn_eps == 2e-3
    assert (config.model.pvit.mean, config.model.pvit.std) == ((0.0,) * 3, (1.0,) * 3)
    assert not config.model.pvit.qkv_bias
    assert "pvit: qkv_bias = False, mean = (0.0, 0.0, 0.0), std = (1.0, 1.0, 1.0), as its weights need" in (
        capsys.readouterr().out
    )
    assert with_settings(config) == config
    assert with_settings(small_config()) == with_bn_eps(small_config())


def _start(phase: phases.Phase) -> dict:
    return phase.initial_state(optax.sgd(0.0))


def test_pvit_takes_its_first_blocks_and_resized_positions(weights, capsys):
    config = with_settings(small_config("tiny,distill=no", **PVIT, **{"model.pvit.init_from": weights["vit"]}))
    phase = phases.student_phase(config, CLASSES, None)
    out = capsys.readouterr().out
    assert "blocks after the first 2 left out" in out and "position embeddings resized from 4x4 to 2x2" in out
    arrays = converted.load_arrays(Path(weights["vit"]))
    params = _start(phase)["params"]
    for name, value in functional.flatten(params["main"]["pvit"]).items():
        if name != "positions":
            np.testing.assert_array_equal(value, arrays[f"params/{name}"])
    np.testing.assert_allclose(
        params["main"]["pvit"]["positions"], positions.resize(arrays["params/positions"], 2, "bicubic_antialias")
    )


def test_a_classifier_of_another_size_starts_anew(weights, capsys):
    config = small_config(**{"model.teacher.init_from": weights["teacher"]})
    phase = phases.teacher_phase(config, CLASSES)
    assert "its classifier starts anew with 3 classes" in capsys.readouterr().out
    start = _start(phase)
    assert start["params"]["fc"]["kernel"].shape == (128, CLASSES)
    arrays = converted.load_arrays(Path(weights["teacher"]))
    np.testing.assert_array_equal(start["params"]["stem_norm"]["scale"], arrays["params/stem_norm/scale"])
    np.testing.assert_array_equal(start["batch_stats"]["stem_norm"]["var"], arrays["batch_stats/stem_norm/var"])


@pytest.mark.parametrize("name", ["r2plus1d_tiny", pytest.param("r3d_tiny", marks=pytest.mark.slow)])
def test_weights_for_frames_start_a_network_of_frames_and_flow(name, tmp_path):
    """Where nothing has been learnt of the flow yet, it answers as the network of the frames alone."""
    converted.save(torch_video.convert(trunk_tensors(name, CLASSES)), "", tmp_path / "weights")
    rng = np.random.default_rng(0)
    clip, flow = (rng.integers(0, 256, (2, 8, 32, 32, channels), dtype=np.uint8) for channels in (3, 2))
    models = [
        create_model(name, num_classes=CLASSES, trunk_weights=tmp_path / "weights", fields=fields)
        for fields in ({}, {"model.luminous.input": "both"})
    ]
    frames, both = models[0](clip), models[1](clip, flow)
    np.testing.assert_allclose(both["logits"], frames["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("fields", "message"), [
    ({"model.pvit.init_from": "vit"}, "of another size: use them with --config.model.pvit.dim=64 --config"),
    ({"model.pvit.init_from": "vit", **PVIT, "model.pvit.blocks": 4}, "lacks 'params/blocks/3/"),
    ({"model.pvit.init_from": "teacher"}, "holds a r2plus1d: config.model.pvit.init_from takes a vit"),
    ({"model.pvit.init_from": "nowhere"}, "is no folder of converted weights"),
    ({"model.teacher.init_from": "teacher", "model.teacher.name": "r3d_tiny"}, "teacher.name=r2plus1d_tiny"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_before_training(weights, fields, message):
    fields = {name: weights.get(value, value) if "init_from" in name else value for name, value in fields.items()}
    with pytest.raises(UserError, match=message):
        phases.check_start(with_settings(small_config(**fields)), CLASSES)


def test_the_preset_for_weights_of_its_size_is_named(weights, tmp_path):
    folder = tmp_path / "vits"
    shutil.copytree(weights["vit"], folder)
    facts = json.loads((folder / converted.FACTS).read_text())
    facts |= {name: presets.VIT_S[f"model.pvit.{name}"] for name in ("patch", "dim", "num_heads", "mlp_dim")}
    (folder / converted.FACTS).write_text(json.dumps(facts))
    with pytest.raises(UserError, match="use them with --config=own:vits, .* or with --config.model.pvit.patch=14"):
        with_settings(small_config(**{"model.pvit.init_from": str(folder)}))


@pytest.mark.slow
def test_a_run_from_weights_trains_resumes_and_goes_back(records, weights, tmp_path, capsys):
    """The resolved config is kept; the same command resumes; the trained teacher is exported as its checkpoint."""
    fields = {"model.teacher.init_from": weights["teacher"], "model.pvit.init_from": weights["vit"], **PVIT}
    config = small_config(records=records, **{**fields, "train.teacher_epochs": 1, "train.student_epochs": 1})
    workdir = tmp_path / "workdir"
    run.train_and_test(config, workdir)
    kept = json.loads((workdir / "config.json").read_text())
    assert kept["model"]["teacher"]["bn_eps"] == 2e-3
    (workdir / "results.json").unlink()
    run.train_and_test(dataclasses.replace(config), workdir)
    assert "resuming after step 5" in capsys.readouterr().out
    facts_file = Path(weights["vit"]) / converted.FACTS
    facts_file.write_text((kept_facts := facts_file.read_text()).replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(UserError, match="started from other weights than init_from holds now"):
        run.train_and_test(config, workdir)
    facts_file.write_text(kept_facts)
    facts, arrays = to_torch.read_workdir(workdir)
    assert facts["classes"] == "down, right, still" and facts["bn_eps"] == 2e-3
    to_torch.main([str(workdir), "--to", "safetensors"])
    assert "r2plus1d_tiny" in capsys.readouterr().out
    from safetensors.numpy import load_file

    tensors = load_file(workdir / "r2plus1d_tiny.safetensors")
    back = torch_video.convert(tensors)
    assert back.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array, err_msg=name)
    start = converted.load_arrays(Path(weights["teacher"]))["params/stem_norm/scale"]
    assert not np.array_equal(arrays["params/stem_norm/scale"], start)
