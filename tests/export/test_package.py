"""Packages: written, opened again, and the run in every answer; a card that hubs read; nothing of the machine in it."""

import dataclasses
import json
import shutil
import typing
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from huggingface_hub import ModelCard

import lift_flax
from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.export import __main__ as export
from lift_flax.export import card, package
from lift_flax.export.package import PLACES, write_package
from lift_flax.models.functional import flatten
from lift_flax.runs import config_file
from lift_flax.runs.package import contents
from lift_flax.runs.trained import open_trained
from tests.support.names import NAMES
from tests.support.readings import READINGS
from tests.support.trained_tools import random_trained

FILES = {"model.safetensors", "config.json", "run.json", "README.md", "results.json"}


@pytest.fixture(scope="module")
def zipped(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("zipped") / "net.zip"
    (out.parent / "more.md").write_text("## Light\n\nMeasured by day alone.\n")
    export.main([f"--workdir={run}", f"--out={out}", f"--card={out.parent / 'more.md'}", "--license=cc-by-4.0"])
    return out


@pytest.fixture
def uncompared(monkeypatch) -> None:
    """Without the random clips, for tests of all else."""
    monkeypatch.setattr(package, "_compare", lambda trained, part: None)


@pytest.fixture(scope="module")
def video(records) -> Path:
    return min((records.parent / "videos" / "test").rglob("*.mp4"))


def test_a_package_answers_as_its_run_bit_for_bit(run, packed, zipped, video):
    own = lift_flax.load(run)
    for place in (packed, zipped):
        loaded = lift_flax.load(place)
        for tree in ("params", "batch_stats"):
            ours, theirs = (flatten(getattr(one.trained, tree)) for one in (own, loaded))
            assert ours.keys() == theirs.keys()
            assert all(np.asarray(ours[name]).tobytes() == theirs[name].tobytes() for name in ours)
        assert loaded(video).probabilities.tobytes() == own(video).probabilities.tobytes()
        assert (loaded.classes, loaded.trained.step, loaded.workdir) == (own.classes, own.trained.step, place)
        assert loaded.trained.clip_seconds == own.trained.clip_seconds is not None
        assert loaded.results == own.results


@pytest.mark.slow
@pytest.mark.usefixtures("uncompared")
def test_all_facts_of_a_run_travel(run, packed, tmp_path):
    """Also those that this version does not know, and into a package of a package."""
    copy, second = tmp_path / "copy", tmp_path / "second.zip"
    shutil.copytree(packed, copy)
    stated = json.loads((copy / "run.json").read_text())
    own = json.loads((run / "run.json").read_text())
    assert {name: stated[name] for name in own} == own and set(stated) - set(own) == {"package"}
    (copy / "run.json").write_text(json.dumps({**stated, "later": {"temperature": 1.5, "made_of": "/home/me/clips"}}))
    lift_flax.load(copy).export(second)
    again = open_trained(second)
    assert again.facts["later"] == {"temperature": 1.5, "made_of": ""}
    assert again.facts["validation_ids"] == own["validation_ids"] and again.step == stated["package"]["step"]


def test_nothing_says_where_it_was_made(run, packed, zipped):
    config = config_file.load(run / "config.json")
    assert Path(config.data.dir).is_absolute()
    assert {path.name for path in packed.iterdir()} == FILES
    assert len({path.stat().st_mode for path in packed.iterdir()}) == 1  # who may read one may read all
    with zipfile.ZipFile(zipped) as archive:
        assert set(archive.namelist()) == FILES
        texts = [archive.read(name) for name in FILES] + [path.read_bytes() for path in packed.iterdir()]
    for place in (config.data.dir, str(run), str(packed.parent)):
        assert not any(place.encode() in text for text in texts)
    assert package_config(packed) == dataclasses.asdict(
        dataclasses.replace(config, data=dataclasses.replace(config.data, dir=""))
    )


def package_config(folder: Path) -> dict:
    return dataclasses.asdict(open_trained(folder).config)


def test_every_field_that_may_name_a_folder_is_emptied():
    """A new text of the config is one of a few names, or is emptied, or is known here to be no place."""

    def texts(kind: type, prefix: str = "") -> set[str]:
        found = set()
        for name, hint in typing.get_type_hints(kind).items():
            found |= texts(hint, f"{prefix}{name}.") if dataclasses.is_dataclass(hint) else set()
            found |= {prefix + name} if hint is str else set()
        return found

    no_places = {"dataset", "auto", "data.weights", "train.profile_steps"}
    assert texts(Config) - no_places == set(PLACES)


@pytest.mark.slow
@pytest.mark.usefixtures("uncompared")
def test_a_package_holds_what_a_frozen_vit_started_from(tmp_path):
    """Without weights such a config is refused; the package has them."""
    fields = {"model.pvit.unfreeze": "none", "model.pvit.init_from": "/weights/vit", "train.init_from": "/runs/other"}
    trained = random_trained(**fields)
    write_package(trained, tmp_path / "net.zip")
    model = open_trained(tmp_path / "net.zip").config.model
    assert (model.pvit.unfreeze, model.pvit.init_from) == ("none", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", READINGS)
def test_every_kind_of_network(kind, tmp_path):
    write_package(random_trained(**READINGS[kind]), tmp_path / "net")  # compares before it is kept
    assert open_trained(tmp_path / "net").config.model == random_trained(**READINGS[kind]).config.model


@pytest.mark.usefixtures("uncompared")
def test_the_same_run_gives_the_same_bytes(run, zipped, tmp_path):
    again = lift_flax.load(run).export(tmp_path / "net.zip", card=zipped.parent / "more.md", license="cc-by-4.0")
    assert again.read_bytes() == zipped.read_bytes()


def test_the_card_has_what_hubs_read(run, packed, zipped):
    results = json.loads((run / "results.json").read_text())
    plain = ModelCard.load(packed / "README.md")
    data = plain.data.to_dict()
    assert data["license"] == "other" and data["library_name"] == "lift_flax" and data["metrics"] == ["accuracy"]
    assert data["pipeline_tag"] == "video-classification" in data["tags"] and data["datasets"] == ["small"]
    scored = {result.metric_name: result for result in plain.data.eval_results or []}
    assert scored["top-1 of the student"].metric_value == results["student"]["top1"]
    assert scored["top-1 of the teacher"].dataset_split == "test"
    low, high = results["student"]["interval"]
    for text in (
        f"{100 * low:.1f} % to {100 * high:.1f} %",
        'run = lift_flax.load("package")',
        "lift-flax predict --workdir=package clip.mp4",
        "   0  down ",
        "- the network sees frames as they were filmed in one stream, and in the other frames with gamma correction\n",
        "4 frames of 32 px, spread over the video",
        "## Limits",
        "Only 6 clips were tested",
    ):
        assert text in plain.text, text
    with zipfile.ZipFile(zipped) as archive:
        own = ModelCard(archive.read("README.md").decode())
    assert own.data.license == "cc-by-4.0" and own.text.endswith("## Light\n\nMeasured by day alone.\n")


def test_the_card_shows_names_as_they_are():
    """Also a class of backticks, and a run that was never tested."""
    trained = dataclasses.replace(random_trained(), classes=(*NAMES, "```"))
    text = card.card_of(trained, None, "a name: [x].zip", "other", "")
    assert all(f"  {name}\n" in text for name in NAMES) and "\n````text\n" in text
    assert "None: the run was not tested" in text and ModelCard(text).data.eval_results is None


@pytest.mark.slow
def test_a_package_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    def spoiled(place):
        trained = open_trained(place)
        return dataclasses.replace(trained, params=jax.tree.map(lambda a: a * np.float32(1.001), trained.params))

    monkeypatch.setattr(package, "open_trained", spoiled)
    with pytest.raises(RuntimeError, match="answers differently from the run"):
        package.write_package(random_trained(), tmp_path / "net")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("uncompared")
def test_only_packages_are_replaced_and_only_when_asked(run, packed, tmp_path):
    loaded, mine = lift_flax.load(packed), tmp_path / "mine"
    mine.mkdir()
    loaded.export(mine, format="package")  # into an empty folder
    (mine / "README.md").write_text("an older card")
    with pytest.raises(UserError, match=r"mine exists: .* overwrite=True"):
        loaded.export(mine, format="package")
    assert (mine / "README.md").read_text() == "an older card"
    loaded.export(mine, format="package", overwrite=True)
    assert "## Limits" in (mine / "README.md").read_text()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="papers is a folder that holds other things than a package"):
        loaded.export(tmp_path / "papers", format="package", overwrite=True)
    with pytest.raises(UserError, match="workdir is a folder that holds other things"):
        loaded.export(run, format="package", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "papers"}


@pytest.mark.parametrize(("name", "options", "message"), [
    ("net", [], r"ends in \.stablehlo or \.onnx, or in \.zip for a package \(--format=package writes a folder\)"),
    ("net.zip", ["--format=onnx"], "ends as package does, and format=onnx is asked for"),
    ("net.onnx", ["--format=package"], "ends as onnx does, and format=package is asked for"),
    ("net", ["--format=stablehlo"], r"a file of format=stablehlo ends in \.stablehlo"),
    ("net.onnx", ["--license=mit"], "card, license and dtype are for packages"),
    ("net.stablehlo", ["--dtype=float16"], "card, license and dtype are for packages"),
    ("net.zip", ["--dtype=int8"], "argument --dtype: invalid choice: 'int8'"),
    ("net.zip", ["--license=My own: one"], "is no name of a license: write it as hubs do"),
    ("net.zip", ["--card=missing.md"], "missing.md cannot be read as text"),
    ("none/net.zip", [], "the folder .* does not exist"),
])  # fmt: skip
def test_mistakes(name, options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export.main([f"--workdir={tmp_path}", f"--out={tmp_path / name}", *options])
    assert not list(tmp_path.iterdir())


def test_formats_that_python_does_not_know(packed, tmp_path):
    with pytest.raises(UserError, match="format='torch' is unknown: choose one of stablehlo, onnx, package"):
        lift_flax.load(packed).export(tmp_path / "net", format="torch")
    with pytest.raises(UserError, match="dtype='int8' is unknown: choose one of float32, float16"):
        lift_flax.load(packed).export(tmp_path / "net.zip", dtype="int8")


def test_every_known_file_is_a_plain_name():
    assert FILES <= set(contents.KNOWN) and all(Path(name).name == name for name in contents.KNOWN)
