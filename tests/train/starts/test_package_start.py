"""A start from a package of a run: the same arrays as from its workdir, and the same clips that are held out."""

import json
import shutil

import numpy as np
import pytest

from data_prep import build
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.runs import config_file, places
from lift_flax.runs.package import hub
from lift_flax.train import phases
from lift_flax.train.run import resolve, train_and_test
from tests.support.small_config import small_config

CLASSES = 3


@pytest.mark.slow
def test_the_student_starts_as_from_the_workdir(run, packed, records, tmp_path, capsys):
    """From a folder, a .zip, a hub; the teacher is the trunk of the student, which is all that a package holds."""
    own = phases.student_phase(small_config(records=records, **{"train.init_from": str(run)}), CLASSES, None).pretrained
    capsys.readouterr()
    zipped = shutil.make_archive(str(tmp_path / "net"), "zip", packed)
    for place in (packed, zipped):
        config = small_config(records=records, **{"train.init_from": str(place)})
        student = phases.student_phase(config, CLASSES, None).pretrained
        assert student.keys() == own.keys() and all(np.array_equal(student[name], own[name]) for name in own)
        assert f"student: {len(own)} arrays from {place}\n" in capsys.readouterr().out
    teacher = phases.teacher_phase(config, CLASSES).pretrained
    assert all(np.array_equal(teacher[n], own[n.replace("/", "/trunk/", 1)]) for n in teacher) and len(teacher) > 10
    other = phases.student_phase(small_config(**{"train.init_from": str(packed), "model.levels": 2}), 5, None)
    assert any(path.startswith("params/levels/0/") for path in other.pretrained)
    said = capsys.readouterr().out
    assert "drawn anew: " in said and "student: there model.levels is 1, not 2" in said


def test_names_stay_as_they_are_given(packed, records, monkeypatch):
    """In the config that the run keeps: neither is a path of this machine."""
    monkeypatch.setattr(places, "SHIPPED_FOLDER", packed)
    monkeypatch.setattr(hub, "fetch", lambda repository, revision: packed)
    opened = open_records(str(records))
    starts = [
        resolve(small_config(records=records, **{"train.init_from": name}), opened)
        for name in ("shipped", "hf://me/net", str(packed))
    ]
    assert [start.config.train.init_from for start in starts] == ["shipped", "hf://me/net", str(packed)]
    assert len({start.weights["run"] for start in starts}) == 1


def test_clips_that_it_was_trained_on_are_held_out(packed, records, tmp_path, capsys):
    """Where they are clips of these records; else a line says that it cannot be known."""
    held = small_config(records=records, **{"train.init_from": str(packed), "data.val_share": 0.34})
    with pytest.raises(UserError, match=r"was trained on 6 validation clips of this run"):
        resolve(held, open_records(str(records)))
    config = small_config(records=records, **{"train.init_from": str(packed)})
    capsys.readouterr()
    resolve(config, open_records(str(records)))
    assert "cannot be known" not in capsys.readouterr().out
    copy = shutil.copytree(packed, tmp_path / "copy")
    stated = json.loads((copy / "run.json").read_text())
    stated |= {"train_digest": "of other clips", "weights": {"pvit": "0" * 64}}
    (copy / "run.json").write_text(json.dumps(stated))
    resolve(small_config(records=records, **{"train.init_from": str(copy)}), open_records(str(records)))
    said = capsys.readouterr().out
    assert f"whether {copy} was trained on test clips of this run cannot be known" in said
    assert f"what the weights were trained on that {copy} started from cannot be known" in said


@pytest.mark.slow
def test_a_training_on_other_classes_starts_from_the_shipped_network(packed, records, tmp_path, monkeypatch, capsys):
    """With a package in its place; tests/shipped/ does the same with the network itself."""
    monkeypatch.setattr(places, "SHIPPED_FOLDER", packed)
    for split in ("train", "test"):
        for old, new in (("down", "falls"), ("right", "passes")):
            shutil.copytree(records.parent / "videos" / split / old, tmp_path / "videos" / split / new)
    own = tmp_path / "own"
    build.main(["folder", f"--videos={tmp_path / 'videos'}", f"--out={own}", "--flow", "--workers=1"])
    fields = {"train.init_from": "shipped", "train.teacher_epochs": 1, "train.student_epochs": 1}
    results = train_and_test(small_config(records=own, **fields), tmp_path / "run")
    assert results["classes"] == ["falls", "passes"]
    said = capsys.readouterr().out
    assert said.count(f" arrays from {packed}; drawn anew: ") == 2  # of teacher and student
    assert config_file.load(tmp_path / "run" / "config.json").train.init_from == "shipped"


def test_a_damaged_package_is_one_line(packed, records, tmp_path):
    copy = shutil.copytree(packed, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match="model.safetensors is damaged"):
        resolve(small_config(records=records, **{"train.init_from": str(copy)}), open_records(str(records)))
