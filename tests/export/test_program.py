"""`lift_flax.export` to one file, StableHLO: a run's file, called by jax alone; every kind of network; mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.export import __main__ as export
from lift_flax.export import program
from lift_flax.predict.inference import unfolded
from lift_flax.runs.trained import open_trained
from tests.support.readings import READINGS
from tests.support.trained_tools import random_trained, write_run

KINDS = {
    "gamma": ("tiny", {"train.precision": "bfloat16", "model.levels": 2, "train.remat.levels": True}),
    "flow": ("tiny,luminous=flow", {"model.luminous.size": 24}),
    "resized": ("tiny,teacher=r3d_tiny,foe=no", {"model.luminous.size": 24, "train.remat.trunk": True}),
    "finetuned": ("tiny", {"train.trunk": "finetune", "train.remat.pvit": True}),
    "main alone": ("tiny,streams=main,distill=no", {}),
    "flow alone": ("tiny,streams=luminous,luminous=flow,distill=no", {}),
    **{name: ("tiny", fields) for name, fields in READINGS.items()},
}

# What a user without this project writes; `-I` keeps the current folder and the environment out of it.
CALLER = """
import json, sys, numpy, jax
file, clips, answers = sys.argv[1:]
found = jax.export.deserialize(bytearray(open(file, "rb").read())).call(numpy.load(clips))
numpy.savez(answers, **found)
assert not {"lift_flax", "flax", "orbax"} & set(sys.modules)
print(json.load(open(file + ".json"))["classes"][int(found["probabilities"].argmax(-1)[0])])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("exported") / "workdir"
    write_run(random_trained(), workdir)
    return workdir


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("files") / "net.stablehlo"
    export.main([f"--workdir={run}", f"--out={out}"])
    return out


def test_jax_alone_calls_the_file_as_the_run_answers(run, exported, tmp_path):
    trained = open_trained(run)
    rng = np.random.default_rng(5)
    clips = rng.integers(0, 60, (3, 4, 32, 32, 3), np.uint8)  # a batch that was not compared when it was written
    np.save(tmp_path / "clips.npy", clips)
    arguments = [str(exported), "clips.npy", "answers.npz"]
    ran = subprocess.run([sys.executable, "-I", "-c", CALLER, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    expected = unfolded(trained)(clips)
    assert ran.stdout.strip() == trained.classes[int(expected["logits"][0].argmax())]
    with np.load(tmp_path / "answers.npz") as answers:
        assert set(answers) == {"logits", "probabilities", "teacher_logits"}
        for name in NETWORKS.values():
            atol = 1e-5 * np.abs(expected[name]).max()
            np.testing.assert_allclose(answers[name], expected[name], rtol=0, atol=atol)
        np.testing.assert_allclose(answers["probabilities"].sum(axis=-1), 1, atol=1e-6)


def test_the_file_is_for_all_platforms_and_its_facts_lie_beside_it(run, exported):
    loaded = jax.export.deserialize(bytearray(exported.read_bytes()))
    assert loaded.platforms == ("cpu", "cuda", "tpu")
    (clip,) = loaded.in_avals
    assert str(clip.shape[0]) == "b" and clip.shape[1:] == (4, 32, 32, 3) and clip.dtype == np.uint8
    called = set(re.findall(r"custom_call @(\w+)", loaded.mlir_module()))
    assert called <= {"shape_assertion"}  # of the batch; any other one platform may have and another not
    facts = json.loads(program.facts_path(exported).read_text())
    assert facts["classes"] == list(open_trained(run).classes) and (facts["frames"], facts["size"]) == (4, 32)
    assert set(facts["inputs"]) == {"clip"} and facts["within"]["gamma"] == 1.8
    assert set(facts["largest_difference"]) == set(facts["outputs"]) == {"logits", "probabilities", "teacher_logits"}
    assert all(value <= 1e-5 for value in facts["largest_difference"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network(kind, tmp_path):
    arg, fields = KINDS[kind]
    trained = random_trained(arg, **fields)
    facts = program.export_run(trained, tmp_path / "net.stablehlo")
    assert all(value <= 1e-5 for value in facts["largest_difference"].values())
    assert ("flow" in facts["inputs"]) == trained.config.model.luminous.takes_flow
    assert set(facts["largest_difference"]) == set(facts["outputs"])
    assert ("teacher_logits" in facts["outputs"]) == trained.config.train.distill


@pytest.mark.slow
def test_a_file_that_answers_differently_is_not_kept(tmp_path, monkeypatch):
    form = program.FORMATS[".stablehlo"]

    def answer(path, inputs):
        return {name: value * 1.001 for name, value in form.answer(path, inputs).items()}

    monkeypatch.setitem(program.FORMATS, ".stablehlo", program.Format(form.serialise, answer))
    with pytest.raises(RuntimeError, match="differs from the network"):
        program.export_run(random_trained(), tmp_path / "net.stablehlo")
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_without_overwrite(run, tmp_path):
    out = tmp_path / "net.stablehlo"
    out.write_text("mine")
    with pytest.raises(UserError, match=r"net.stablehlo exists: .* --overwrite"):
        export.main([f"--workdir={run}", f"--out={out}"])
    assert out.read_text() == "mine" and not program.facts_path(out).exists()
    program.facts_path(out).mkdir()  # facts that cannot be written: then there is no new file either
    with pytest.raises(IsADirectoryError):
        export.main([f"--workdir={run}", f"--out={out}", "--overwrite"])
    assert out.read_text() == "mine" and {*tmp_path.iterdir()} == {out, program.facts_path(out)}
    program.facts_path(out).rmdir()
    export.main([f"--workdir={run}", f"--out={out}", "--overwrite"])
    assert jax.export.deserialize(bytearray(out.read_bytes())).platforms and program.facts_path(out).exists()


@pytest.mark.parametrize(("name", "message"), [
    ("net.pt", "ends in .stablehlo or .onnx"),
    ("nowhere/net.onnx", "the folder .* does not exist"),
    ("folder.onnx", "is a folder"),
])  # fmt: skip
def test_mistakes(name, message, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UserError, match=message):
        export.main([f"--workdir={tmp_path}", f"--out={tmp_path / name}"])


def test_onnx_without_its_packages(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r"jax2onnx is not installed here: run `make onnx` .* \.venv-onnx/bin/python"):
        export.main([f"--workdir={run}", f"--out={tmp_path / 'net.onnx'}"])
    own_gamma = random_trained(**{"model.luminous.gamma_target": 58.0})  # says so first: no package would help
    with pytest.raises(UserError, match=r"which ONNX files do not hold: name a file that ends in \.stablehlo"):
        program.export_run(own_gamma, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="is not a workdir of a run"):
        export.main([f"--workdir={tmp_path}", f"--out={tmp_path / 'net.stablehlo'}"])
