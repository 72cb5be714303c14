"""A trained run from Python: what its calls return, and that they leave the process as it was."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lift_flax
from lift_flax.calls import training
from lift_flax.errors import UserError
from tests import ROOT
from tests.support.small_config import get_config, small_config

CALLS = """
import json, logging, signal, sys, warnings
import jax
import scipy.special  # adds a filter for its own warning when it is imported
from absl import flags

flags.DEFINE_string("mine", "default", "a flag of the program, which has not parsed its command line yet")

def process():
    absl, root = logging.getLogger("absl"), logging.getLogger()
    return {
        "jax": {name: repr(value) for name, value in jax.config.values.items()},
        "levels": [absl.level, root.level, root.manager.disable],
        "handlers": [list(absl.handlers), list(root.handlers)],
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "warnings": list(warnings.filters),
        "flags": [flags.FLAGS.is_parsed(), flags.FLAGS["mine"].present],
    }

import absl.logging
before = process()
import lift_flax
workdir, video, *out = sys.argv[1:]
run = lift_flax.load(workdir)
assert process() == before, "load"
answers = [run(video), *run.each([video])]
assert process() == before, "answers"
scores = run.evaluate()
assert process() == before, "evaluate"
explanation = run.explain(video)
assert process() == before, "explain"
if out:
    assert str(run.report()) == f"{workdir}/report.html"
    assert process() == before, "report"
    assert str(run.export(out[0])) == out[0]
    assert process() == before, "export"
    trained = lift_flax.train_run("tests/support/small_config.py", out[1], {"data.dir": run.config.data.dir})
    assert process() == before, "train_run"
    assert trained(video).label in trained.classes and trained.results["num_examples"] == 6
print(json.dumps({"labels": [answer.label for answer in answers], "scores": scores, "label": explanation.label}))
"""


@pytest.fixture(scope="module")
def video(records: Path) -> Path:
    return sorted((records.parent / "videos" / "test").rglob("*.mp4"))[0]


@pytest.fixture
def loaded(run: Path, tmp_path: Path) -> lift_flax.LoadedRun:
    """A copy of the run, to write into."""
    return lift_flax.load(shutil.copytree(run, tmp_path / "copy"))


def test_calls_answer_and_leave_the_process_as_it_was(run, video):
    """Settings of JAX, logging, signal handlers, warnings and absl's flags are as before; nothing is printed."""
    command = [sys.executable, "-c", CALLS, run, video]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found, own = json.loads(ended.stdout), json.loads((run / "results.json").read_text())
    assert ended.stderr == ""
    for network in ("teacher", "student"):
        assert found["scores"][network]["top1"] == own[network]["top1"]
        assert found["scores"][network]["confusion"] == own[network]["confusion"]
    assert len(set(found["labels"])) == 1
    assert found["labels"][0] == own["classes"][found["label"]]  # the explained class is the predicted one


@pytest.mark.slow
def test_calls_that_write_and_train_leave_the_process_as_it_was(loaded, video, tmp_path):
    (loaded.workdir / "report.html").unlink(missing_ok=True)
    command = [sys.executable, "-c", CALLS, loaded.workdir, video, tmp_path / "model.stablehlo", tmp_path / "new"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert (loaded.workdir / "report.html").stat().st_size > 10_000
    assert json.loads((tmp_path / "model.stablehlo.json").read_text())["classes"] == list(loaded.classes)
    assert (tmp_path / "new" / "report.html").is_file()


def test_what_a_run_says_of_itself(loaded):
    assert (loaded.workdir.name, loaded.classes) == ("copy", ("down", "right", "still"))
    assert loaded.config.data.num_frames == loaded.preparation.num_frames == 4
    assert loaded.results["num_examples"] == 6


def test_no_public_name_is_that_of_a_module():
    """Importing `lift_flax.evaluate`, for example, would replace a function of that name."""
    modules = {path.stem for path in (ROOT / "lift_flax").iterdir()}
    assert len(modules) > 15 and not modules & set(lift_flax.__all__)
    assert all(name in dir(lift_flax) and getattr(lift_flax, name) for name in lift_flax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        lift_flax.lode  # noqa: B018


def test_mistakes(loaded, video, tmp_path):
    with pytest.raises(UserError, match="is not a workdir"):
        lift_flax.load(tmp_path)
    with pytest.raises(UserError, match="network='critic' is unknown: choose teacher or student"):
        lift_flax.load(loaded.workdir, network="critic")
    with pytest.raises(UserError, match="split='other' is unknown: choose test or val or train"):
        loaded.evaluate(split="other")
    with pytest.raises(UserError, match="average='mean' is unknown: choose logits or softmax"):
        loaded.evaluate(average="mean")
    with pytest.raises(UserError, match="label='Wave' is unknown to the run: choose one of down, right, still"):
        loaded.explain(video, label="Wave")
    with pytest.raises(UserError, match="missing.mp4 cannot be used"):
        loaded.explain("missing.mp4")
    with pytest.raises(UserError, match="missing.mp4 cannot be used"):
        list(loaded.read("missing.mp4"))
    (loaded.workdir / "results.json").write_text("{")
    with pytest.raises(UserError, match="results.json is missing or damaged"):
        loaded.results  # noqa: B018
    with pytest.raises(UserError, match="choose a name that ends in"):
        loaded.export(tmp_path / "model.pt")
    (tmp_path / "model.stablehlo").touch()
    with pytest.raises(UserError, match="exists: choose another name"):
        loaded.export(tmp_path / "model.stablehlo")


@pytest.mark.slow
def test_evaluate_takes_the_options_of_the_command(loaded, records):
    scores = loaded.evaluate(data_dir=records, split="train", fold=1, views="2x1", average="softmax", batch_size=4)
    assert (scores["split"], scores["views"], scores["average"]) == ("train", "2x1", "softmax")
    assert scores["num_examples"] == scores["trained_on"] == 18


@pytest.mark.slow
def test_explanations_of_a_class_are_written(loaded, video, tmp_path):
    explanation = loaded.explain(video, out=tmp_path / "pictures", label="still")
    with pytest.raises(UserError, match=r"explain.json exists: .* overwrite=True"):
        loaded.explain(video, out=tmp_path / "pictures")
    assert loaded.classes[explanation.label] == "still"
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "explain.mp4", "explain.gif", "sheet.png", "spectrum.png", "explain.json",
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_configs_by_name_as_config_dicts_and_as_configs():
    """And single fields by their dotted names."""
    values = {"data.dir": "there", "train.batch_size": 8}
    expected = small_config(records="there", **{"train.batch_size": 8})
    for config in (small_config(), get_config(), f"{ROOT}/tests/support/small_config.py"):
        assert training._config(config, values) == expected
    assert training._config("own:tiny", values).data.dir == "there"
    with pytest.raises(UserError, match="batch_sise: no such field; did you mean config.train.batch_size"):
        training._config(small_config(), {"train.batch_sise": 8})
    with pytest.raises(UserError, match="did you mean --config=own"):
        training._config("owm:tiny", {})


@pytest.mark.slow
def test_arrays_are_answered_and_explained_as_one_clip(loaded):
    frames = np.random.default_rng(0).integers(0, 60, (9, 48, 64, 3), np.uint8)
    answer, explanation = loaded(frames), loaded.explain(frames)
    assert answer.video == "frames" and len(answer.timeline) == 1
    np.testing.assert_allclose(answer.probabilities, explanation.probabilities, atol=1e-5)
