"""The teacher of an earlier run is taken where it fits, and refused with the reason where not."""

import json
import shutil

import numpy as np
import pytest

from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.runs import workdir
from lift_flax.runs.checkpoints import read_best
from lift_flax.train import teacher_from
from tests.support.small_config import small_config


def _clips(records, share: float = 0.0) -> str:
    opened = open_records(str(records))
    return workdir.digest(opened, opened.train_and_validation(1, share, 0)[0])


def test_it_is_the_runs_best_teacher(run, records):
    config = small_config(records=records, **{"train.teacher_from": str(run), "seed": 5})
    teacher_from.check(config, _clips(records))
    found = teacher_from.read(config)
    params, statistics, _ = read_best(run / "teacher")
    for part, tree in (("params", params), ("batch_stats", statistics)):
        for name, array in flatten(tree).items():
            np.testing.assert_array_equal(flatten(found[part])[name], array, err_msg=name)


@pytest.mark.parametrize(("fields", "message"), [
    ({"model.luminous.gamma": 2.2}, r"of another kind: model.luminous.gamma \(1.8 there, 2.2 here\)"),
    ({"data.num_frames": 5}, r"data.num_frames \(4 there, 5 here\)"),
    ({"model.teacher.name": "r3d_tiny"}, "model.teacher.name"),
    ({"train.teacher_from": "nowhere"}, "nowhere is not a workdir of a run"),
])  # fmt: skip
def test_teachers_that_do_not_fit(run, records, fields, message):
    config = small_config(records=records, **{"train.teacher_from": str(run), **fields})
    with pytest.raises(UserError, match=message):
        teacher_from.check(config, _clips(records))


def test_teachers_of_other_clips(run, records):
    config = small_config(records=records, **{"train.teacher_from": str(run)})
    with pytest.raises(UserError, match="was trained on other clips than this run: give both"):
        teacher_from.check(config, _clips(records, share=0.4))


def test_runs_without_a_teacher_to_give(run, records, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = small_config(records=records, **{"train.teacher_from": str(copy)})
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({name: v for name, v in facts.items() if name != "train_digest"}))
    with pytest.raises(UserError, match="run.json is missing or damaged"):
        teacher_from.check(config, _clips(records))
    (copy / "results.json").unlink()
    with pytest.raises(UserError, match="is no finished run with a teacher phase"):
        teacher_from.check(config, _clips(records))


def test_it_is_for_distillation(records):
    with pytest.raises(UserError, match="config.train.teacher_from is for distillation"):
        small_config(records=records, **{"train.teacher_from": "run", "train.distill": False})
