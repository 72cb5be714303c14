"""`lift_flax.evaluate` on a real run: the run's own numbers again, views, other records, several runs, mistakes."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from lift_flax.data.batches import eval_batches
from lift_flax.data.records import open_records
from lift_flax.distributed.mesh import make_mesh
from lift_flax.errors import UserError
from lift_flax.evaluate import __main__ as evaluate
from lift_flax.evaluate import evaluation, pooling
from lift_flax.evaluate.scoring import ScoreClips
from lift_flax.runs.trained import open_trained
from lift_flax.video.decode import decode_frames
from lift_flax.video.sampling import eval_indices, view_grid
from tests.support.small_config import small_config


def _json(capsys, *arguments) -> dict:
    evaluate.main([*map(str, arguments), "--json"])
    return json.loads(capsys.readouterr().out)


def test_the_runs_own_numbers(run, capsys):
    """Whatever the batch, one centre view of every test clip gives what training reported at its end."""
    own = json.loads((run / "results.json").read_text())
    for batch in (1, 8):
        (found,) = _json(capsys, f"--workdir={run}", f"--batch_size={batch}")["runs"]
        assert {name: found[name] for name in ("dataset", "fold", "split", "views", "num_examples", "classes")} == {
            name: own[name] for name in ("dataset", "fold", "split", "views", "num_examples", "classes")
        }
        for network in ("teacher", "student"):
            for name in ("top1", "mean_class", "per_class", "confusion", "interval"):
                assert found[network][name] == own[network][name], (network, name)
            assert found[network]["ece"] == pytest.approx(own[network]["ece"], abs=1e-4)


def test_the_table_names_the_protocol(run, tmp_path, capsys):
    out = tmp_path / "found.json"
    evaluate.main([f"--workdir={run}", "--views=2x3", "--average=softmax", f"--out={out}"])
    said = capsys.readouterr().out
    assert "small, fold 1, test: 6 clips, 4 frames of 32 px, views 2x3 (softmax averaged)" in said
    for text in ("top-1", "95 % interval", "calibration error", "mean of classes", "student: true"):
        assert text in said
    assert json.loads(out.read_text())["runs"][0]["views"] == "2x3"
    with pytest.raises(UserError, match="found.json exists: choose another name, or replace it with --overwrite"):
        evaluate.main([f"--workdir={run}", f"--out={out}"])
    evaluate.main([f"--workdir={run}", f"--out={out}", "--overwrite", "--json"])
    assert json.loads(out.read_text())["runs"][0]["views"] == "1x1"


def test_views_are_other_frames_and_other_crops(run, records):
    opened = open_records(str(records))
    config = dataclasses.replace(open_trained(run).config, train=small_config().train)
    ids, views = opened.split(1, "test")[:1], view_grid(2, 3)
    batches = eval_batches(opened, config, ids, views=views)
    with contextlib.closing(batches):
        found = list(batches)
    clips = np.concatenate([batch["clip"] for batch in found])  # [8, T, H, W, C]: six views and padding
    assert np.concatenate([batch["weight"] for batch in found]).tolist() == [1] * 6 + [0] * 2
    record = tfds.builder_from_directory(opened.parts[0].folder).as_data_source("all")[opened.index[ids[0]].position]
    whole = decode_frames(record["video"], None, 32)
    count = len(whole)
    width = whole.shape[2] - 32
    for i, view in enumerate(views):
        x = int(width * view.share + 0.5)
        expected = whole[eval_indices(count, 4, view.phase)][:, :32, x : x + 32]
        np.testing.assert_array_equal(clips[i], expected)
    assert [view.share for view in views] == [0, 0.5, 1] * 2 and {view.phase for view in views} == {0.25, 0.75}
    assert view_grid(1, 1)[0].phase == view_grid(1, 1)[0].share == 0.5


def test_classes_are_matched_by_name(run, records):
    trained, opened = open_trained(run), open_records(str(records))
    ids = opened.split(1, "test")
    same, labels, left_out = evaluation.matching_clips(opened, ids, trained)
    assert same == ids and left_out == 0 and labels.tolist() == [opened.index[i].label for i in ids]
    other = dataclasses.replace(opened, classes=("still", "jump", "down"))  # for down, right, still
    known, labels, left_out = evaluation.matching_clips(other, ids, trained)
    assert left_out == 2 and [opened.index[i].label for i in known] == [0, 0, 2, 2] and labels.tolist() == [2, 2, 0, 0]
    with pytest.raises(UserError, match="have no class in common"):
        evaluation.matching_clips(dataclasses.replace(opened, classes=("a", "b", "c")), ids, trained)


def test_a_small_foreign_set_of_a_run_that_held_clips_out(copy, records, tmp_path, capsys):
    """One group to train on has no share for validation; that is no matter of whoever only scores it."""
    config = json.loads((copy / "config.json").read_text())
    config["data"]["val_share"] = 0.34
    (copy / "config.json").write_text(json.dumps(config))
    small = shutil.copytree(records, tmp_path / "small")
    folds = json.loads((small / "folds.json").read_text())
    folds["folds"]["1"]["train"] = [i for i in folds["folds"]["1"]["train"] if "/g0" in i]
    (small / "folds.json").write_text(json.dumps(folds))
    (found,) = _json(capsys, f"--workdir={copy}", f"--data_dir={small}")["runs"]
    assert (found["num_examples"], found["trained_on"], found["dataset"]) == (6, 0, "folder")


def test_the_parameters_go_to_the_devices_once(run, records, monkeypatch):
    """They are read as NumPy arrays, which a program would copy to the devices for every batch."""
    trained, opened = open_trained(run), open_records(str(records))
    score_clips = ScoreClips(trained.outputs, trained.config, opened, make_mesh(trained.config))
    assert {type(leaf) for leaf in jax.tree.leaves(trained.params)} == {np.ndarray}
    given, forward = [], score_clips._forward
    monkeypatch.setattr(score_clips, "_forward", lambda *arguments: given.append(arguments) or forward(*arguments))
    score_clips(trained.params, trained.batch_stats, opened.split(1, "test"))
    first, second = (jax.tree.leaves(arguments[:2]) for arguments in given)  # two batches
    assert all(isinstance(leaf, jax.Array) for leaf in first)
    assert all(one is other for one, other in zip(first, second, strict=True))


@pytest.mark.slow
def test_several_runs(run, capsys):
    report = _json(capsys, f"--workdir={run}", f"--workdir={run}")
    top1 = report["runs"][0]["student"]["top1"]
    assert report["mean"]["student"]["top1"] == [pytest.approx(top1), 0]


def test_mean_over_runs():
    one, two = ({"teacher": None, "student": {"top1": t, "mean_class": t}} for t in (0.5, 0.7))
    mean = pooling.mean_over_runs([one, two])
    assert mean["teacher"] is None and mean["student"]["top1"] == pytest.approx([0.6, 0.1 * np.sqrt(2)])


def test_runs_that_are_not_folds_of_one_config_are_not_pooled():
    """They must share protocol and settings but for the fold, and answer different clips."""
    result = {"records": "r", "dataset": "d", "split": "test", "views": "1x1", "average": "logits", "frames": 4}
    result |= {"size": 32, "classes": ["a", "b"], "fold": 1, "left_out": 0, "trained_on": 0}
    scored = {"logits": np.eye(2, dtype=np.float32), "labels": np.array([0, 1])}

    def found(ids=("3", "4"), rate=0.1, **other):
        deciding = {"data.fold": 1, "train.learning_rate": 0.1}
        one = pooling.Answers(["1", "2"], ["", ""], scored, deciding, [1, 2, 3])
        two = pooling.Answers([*ids], ["", ""], scored, {"data.fold": 2, "train.learning_rate": rate}, [1, 2, 3])
        return pooling.pooled([result, {**result, "fold": 2, **other}], [one, two])

    pooled = found()
    assert pooled and (pooled["num_examples"], pooled["num_groups"], pooled["missing"]) == (4, 0, [3])
    assert pooled["student"]["top1"] == 1 and pooled["teacher"] is None
    assert found(ids=("2", "3")) is found(rate=0.2) is found(views="3x1") is found(records="other") is None


@pytest.mark.parametrize(("arguments", "message"), [
    (["--views=ten"], "views=ten: write CLIPSxCROPS"),
    (["--views=0x3"], "write CLIPSxCROPS"),
    (["--views=90x3"], "at most 100 views"),
    (["--split=other"], "--split.*choose from"),
    (["--out=nowhere/found.json"], "name a file in a folder that exists"),
    (["--twin=day=nowhere"], "ask for illumination with it"),
    (["--illumination", "--twin=day=nowhere"], "nowhere does not exist: give a folder"),
    (["--fold=4"], "has no fold 4: set fold to one of 1"),
    (["--batch_size=0"], "batch_size=0"),
    (["--data_dir=nowhere"], "nowhere does not exist"),
    (["--frob"], "--frob"),
])  # fmt: skip
def test_mistakes(run, arguments, message):
    with pytest.raises(UserError, match=message):
        evaluate.main([f"--workdir={run}", *arguments])


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="is not a workdir of a run"):
        evaluate.main([f"--workdir={tmp_path}"])


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """The run, to write into."""
    return shutil.copytree(run, tmp_path / "copy")


def test_the_curve_over_brightness(copy, records, capsys):
    run = copy
    report = _json(capsys, f"--workdir={run}", "--illumination", f"--twin=itself={records}")
    (found,) = report["runs"]
    curve = found["illumination"]
    exposures, lumas = zip(*[(p["exposure"], p["luma"]) for p in curve["points"]], strict=True)
    assert exposures == tuple(2.0**stop for stop in range(2, -7, -1)) and sorted(lumas, reverse=True) == list(lumas)
    (twin,) = curve["twins"]
    assert (twin["name"], twin["student"]["top1"]) == ("itself", found["student"]["top1"])
    recorded = curve["recorded"]
    assert {**twin, "name": recorded["name"]} == {**recorded, "num_examples": 6, "left_out": 0}
    assert dict(zip(exposures, lumas, strict=True))[1.0] == pytest.approx(recorded["luma"], rel=0.2)
    assert (curve["split"], curve["views"], curve["num_examples"]) == ("test", "1x1", 6)
    for network in ("teacher", "student"):
        top1 = [p[network]["top1"] for p in curve["points"]]
        assert curve["area"][network] == pytest.approx(np.mean([np.mean(top1[:-1]), np.mean(top1[1:])]))
    assert curve.pop("picture") == str(run / "illumination.png")
    assert json.loads((run / "illumination.json").read_text()) == curve
    with Image.open(run / "illumination.png") as picture:
        assert picture.width > 500 and len(picture.convert("L").getcolors()) > 20


def test_clips_of_the_training_are_reported(run, capsys):
    evaluate.main([f"--workdir={run}", "--split=train"])
    assert "train: 18 clips, 18 OF THEM SEEN IN TRAINING" in capsys.readouterr().out


def test_clips_with_the_names_of_the_training_are_not_those(run, records, tmp_path, capsys):
    """Other pictures under the same ids were not seen in training."""
    others = shutil.copytree(records, tmp_path / "others")
    folds = json.loads((others / "folds.json").read_text())
    folds["clips"] = [{**clip, "content": clip["content"][::-1]} for clip in folds["clips"]]
    (others / "folds.json").write_text(json.dumps(folds))
    evaluate.main([f"--workdir={run}", "--split=train", f"--data-dir={others}"])
    said = capsys.readouterr().out
    assert "train: 18 clips" in said and "SEEN IN TRAINING" not in said


@pytest.mark.slow
def test_the_curve_of_other_clips_is_not_kept(copy, capsys):
    """A curve over the clips of the training is no curve of the run."""
    evaluate.main([f"--workdir={copy}", "--split=train", "--illumination"])
    said = capsys.readouterr()
    assert "as recorded" in said.out
    assert "not kept in the workdir" in said.err and not list(copy.glob("illumination.*"))


def test_what_the_curve_needs(run):
    with pytest.raises(UserError, match="'day' is not NAME=DIR"):
        evaluate.main([f"--workdir={run}", "--illumination", "--twin=day"])
