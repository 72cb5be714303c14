"""A start from another run: what fits is taken to the bit, the rest is drawn anew, and both are said."""

import json
import shutil

import numpy as np
import pytest

from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.runs.checkpoints import read_best
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.train import phases
from lift_flax.train.run import resolve, train_and_test
from lift_flax.train.starts import init_from
from tests.support.small_config import LIGHT, small_config

CLASSES = 3


def _held(workdir, phase):
    params, stats, _ = read_best(workdir / phase)
    return {path: np.asarray(a) for path, a in flatten({"params": params, "batch_stats": stats}).items()}


def test_all_that_fits_is_taken(run, records, capsys):
    config = small_config(records=records, **{"train.init_from": str(run), "seed": 5})
    for phase, held in (
        (phases.teacher_phase(config, CLASSES), _held(run, "teacher")),
        (phases.student_phase(config, CLASSES, None), _held(run, "student")),
    ):
        assert phase.pretrained.keys() == held.keys()
        for path, array in held.items():
            np.testing.assert_array_equal(phase.pretrained[path], array)
    said = capsys.readouterr().out
    assert f"teacher: {len(_held(run, 'teacher'))} arrays from {run}\n" in said and "drawn anew" not in said


def test_other_classes_have_a_new_head(run, records, capsys):
    """And one level more has new weights, while the first keeps its own."""
    config = small_config(records=records, **{"train.init_from": str(run), "model.levels": 2})
    teacher, student = phases.teacher_phase(config, 5), phases.student_phase(config, 5, None)
    held = _held(run, "student")
    assert not [path for path in teacher.pretrained if "/fc/" in path]
    assert {path for path in held if path not in student.pretrained} == {
        path for path in held if held[path].shape[-1:] == (CLASSES,)
    }
    assert any(path.startswith("params/levels/0/") for path in student.pretrained)
    assert not any(path.startswith("params/levels/1/") for path in student.pretrained)
    said = capsys.readouterr().out
    assert "drawn anew: fc/bias, fc/kernel" in said and "levels/1/" in said and " more\n" in said


def test_a_trained_teacher_goes_before_the_run(run, records):
    """The student's R(2+1)D is that of its own teacher phase, not that of the run."""
    config = small_config(records=records, **{"train.init_from": str(run)})
    teacher = {"params": {"stem": {"own": np.ones(3)}}, "batch_stats": {}}
    found = phases.student_phase(config, CLASSES, teacher).pretrained
    assert found["params/trunk/stem/own"].tolist() == [1, 1, 1]


def test_teachers_and_students_of_each_other(run, records, tmp_path):
    """A run without a teacher phase gives its trunk, one that was stopped in it gives the student's."""
    for phase in ("teacher", "student"):
        alone = tmp_path / phase
        alone.mkdir()
        shutil.copy(run / "config.json", alone)
        shutil.copytree(run / phase, alone / phase)
        config = small_config(records=records, **{"train.init_from": str(alone)})
        teacher, student = phases.teacher_phase(config, CLASSES), phases.student_phase(config, CLASSES, None)
        trunk = {p for p in _held(run, "teacher") if "/fc/" not in p}
        assert trunk <= set(teacher.pretrained)
        assert {p.replace("/", "/trunk/", 1) for p in trunk} <= set(student.pretrained)


def test_a_run_begins_there_and_continues(records, build_once, tmp_path, capsys):
    """Its first step is step 1, its loss that of a network that has learnt; another start is another run."""
    first = small_config(records=records, **LIGHT | {"train.learning_rate": 1e-3})
    source = build_once("a start", lambda folder: train_and_test(first, folder / "run")) / "run"
    config = small_config(records=records, **LIGHT | {"train.init_from": str(source)})
    results = train_and_test(config, tmp_path / "run")
    assert f"arrays from {source}" in capsys.readouterr().out
    held, now = _held(source, "student"), _held(tmp_path / "run", "student")
    for path in [path for path in held if path.startswith("params/")]:
        np.testing.assert_allclose(now[path], held[path], atol=1e-5)  # its steps are tiny
    losses = [read_metrics(workdir)[0]["cross_entropy"] for workdir in (source, tmp_path / "run")]
    assert losses[1] < losses[0] - 0.3 and read_metrics(tmp_path / "run")[0]["step"] == 1
    stated = json.loads((tmp_path / "run" / "run.json").read_text())["weights"]
    assert list(stated) == ["run"] and len(stated["run"]) == 64
    assert train_and_test(config, tmp_path / "run") == results
    shutil.copytree(source, tmp_path / "moved")
    moved = small_config(records=records, **LIGHT | {"train.init_from": str(tmp_path / "moved")})
    assert train_and_test(moved, tmp_path / "run") == results
    shutil.rmtree(tmp_path / "moved")  # a finished run does without
    assert train_and_test(moved, tmp_path / "run") == results
    later = small_config(records=records, **LIGHT | {"train.init_from": str(tmp_path / "run")})
    resolve(later, open_records(str(records)))
    assert f"whether {tmp_path / 'moved'} was trained on held-out clips of this run cannot be known" in (
        capsys.readouterr().out
    )
    with pytest.raises(UserError, match="started from other weights than init_from holds now"):
        train_and_test(small_config(records=records, **LIGHT), tmp_path / "run")


def _other_splits(records, folder, change):
    """Copies records with the splits of fold 1 changed."""
    shutil.copytree(records, folder)
    folds = json.loads((folder / "folds.json").read_text())
    folds["folds"]["1"] = change(folds["folds"]["1"])
    (folder / "folds.json").write_text(json.dumps(folds))
    return open_records(str(folder))


def test_held_out_clips_that_the_run_was_trained_on(run, records, tmp_path, capsys):
    """Also by way of a run that started from it; where its clips have changed since, nothing can be known."""
    swapped = _other_splits(records, tmp_path / "swapped", lambda s: {**s, "train": s["test"], "test": s["train"]})
    config = small_config(records=swapped.dir, **{"train.init_from": str(run)})
    with pytest.raises(UserError, match=r"was trained on 18 test clips of this run .*; name a run of the same fold"):
        resolve(config, swapped)
    held = small_config(records=records, **{"train.init_from": str(run), "data.val_share": 0.34})
    with pytest.raises(UserError, match=r"was trained on 6 validation clips of this run"):
        resolve(held, open_records(str(records)))
    later = tmp_path / "later"
    (later / "student").mkdir(parents=True)
    values = json.loads((run / "config.json").read_text())
    values["train"]["init_from"], values["data"]["dir"] = str(run), "nowhere"
    (later / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"/later: {run} was trained on 18 test clips"):
        resolve(small_config(records=swapped.dir, **{"train.init_from": str(later)}), swapped)
    assert f"whether {later} was trained on test clips of this run cannot be known" in capsys.readouterr().out
    values["train"]["init_from"] = str(later)  # replaced by one that began at its own later self
    (later / "config.json").write_text(json.dumps(values))
    init_from.check_held_out(small_config(**{"train.init_from": str(later)}), swapped, {"test": []})


def test_folders_that_are_no_start(run, records, tmp_path):
    opened = open_records(str(records))

    def refused(folder, message, classes=CLASSES, **fields):
        with pytest.raises(UserError, match=message):
            config = small_config(records=records, **{"train.init_from": str(folder), **fields})
            start = resolve(config, opened)
            phases.check_start(start.config, classes)

    refused(tmp_path / "none", "is not the workdir of a run: name one")
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "weights.json").write_text("{}")
    refused(
        tmp_path / "converted", r"holds converted weights of one part: name them as config\.model\.teacher\.init_from"
    )
    (tmp_path / "untrained").mkdir()
    shutil.copy(run / "config.json", tmp_path / "untrained")
    refused(tmp_path / "untrained", "holds nothing trained yet")
    shutil.copytree(tmp_path / "untrained", tmp_path / "folds" / "fold2")
    refused(tmp_path / "folds", r"holds runs of folds, fold2: name one of them, or train these folds \(--folds\)")
    with pytest.raises(UserError, match="nothing of it has the path and shape of a parameter"):
        init_from.check(small_config(**{"train.init_from": str(run)}), [{"batch_stats/norm/mean": np.zeros(3)}, {}])
    wider = {"model.pvit.dim": 48, "model.pvit.unfreeze": "first"}
    refused(run, r"does not fill main/pvit/.*unfreeze=first would freeze random ViT blocks", **wider)
