"""The teacher of an earlier run is taken where it fits, and refused with the reason where not."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.runs.checkpoints import read_best
from lift_flax.train.starts import teacher_from
from tests.support.small_config import small_config


def _check(config: Config, records: Path, share: float = 0.0, **prepared) -> None:
    """`teacher_from.check` as a run on `records` calls it."""
    opened = open_records(str(records))
    ids, _ = opened.train_and_validation(1, share, 0)
    teacher_from.check(config, dataclasses.replace(opened, prepared={**opened.prepared, **prepared}), ids)


def test_it_is_the_runs_best_teacher(run, records):
    config = small_config(records=records, **{"train.teacher_from": str(run), "seed": 5})
    _check(config, records)
    found = teacher_from.read(config)
    params, statistics, _ = read_best(run / "teacher")
    for part, tree in (("params", params), ("batch_stats", statistics)):
        for name, array in flatten(tree).items():
            np.testing.assert_array_equal(flatten(found[part])[name], array, err_msg=name)


@pytest.mark.parametrize(("fields", "message"), [
    ({"data.sampling": "window"}, r"of another kind: data.sampling \(segments there, window here\)"),
    ({"model.luminous.gamma": 2.2}, r"of another kind: model.luminous.gamma \(1.8 there, 2.2 here\)"),
    ({"data.num_frames": 5}, r"data.num_frames \(4 there, 5 here\)"),
    ({"model.teacher.name": "r3d_tiny"}, "model.teacher.name"),
    ({"train.teacher_from": "nowhere"}, "nowhere is not a workdir of a run"),
])  # fmt: skip
def test_teachers_that_do_not_fit(run, records, fields, message):
    config = small_config(records=records, **{"train.teacher_from": str(run), **fields})
    with pytest.raises(UserError, match=message):
        _check(config, records)


def test_teachers_of_other_pictures_under_the_same_names(run, records):
    opened = open_records(str(records))
    others = {id: entry._replace(content="other") for id, entry in opened.index.items()}
    config = small_config(records=records, **{"train.teacher_from": str(run)})
    with pytest.raises(UserError, match="was trained on other clips than this run"):
        teacher_from.check(config, dataclasses.replace(opened, index=others), opened.split(1, "train"))


def test_teachers_of_other_clips(run, records):
    config = small_config(records=records, **{"train.teacher_from": str(run)})
    with pytest.raises(UserError, match="was trained on other clips than this run: give both"):
        _check(config, records, share=0.4)


def test_teachers_of_records_prepared_otherwise(run, records):
    """The same clips by name are other pixels; flow that neither run looks at is no difference."""
    config = small_config(records=records, **{"train.teacher_from": str(run)})
    with pytest.raises(UserError, match=r"codec \(h264 there, jpeg here\), short_side \(\d+ there, 128 here\)"):
        _check(config, records, short_side=128, codec="jpeg")
    with pytest.raises(
        UserError, match=r"max_frames \(300 there, None here\); give this run records prepared as there"
    ):
        _check(config, records, max_frames=None)
    _check(config, records, flow="none")


def test_teachers_on_flow_want_the_same_flow(run, records, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    kept = json.loads((copy / "config.json").read_text())
    kept["model"]["luminous"]["input"] = "flow"
    (copy / "config.json").write_text(json.dumps(kept))
    config = small_config("tiny,luminous=flow", records=records, **{"train.teacher_from": str(copy)})
    (copy / "results.json").rename(copy / "validation.json")  # as `train --tune` leaves it
    _check(config, records)
    with pytest.raises(UserError, match=r"flow \(dis there, tvl1 here\)"):
        _check(config, records, flow="tvl1")
    luminous = dataclasses.replace(config.model.luminous, gamma_target=100.0)  # of frames, which it does not see
    _check(dataclasses.replace(config, model=dataclasses.replace(config.model, luminous=luminous)), records)


def test_teachers_on_flow_are_none_on_frames(run, records, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    kept = json.loads((copy / "config.json").read_text())
    kept["model"]["luminous"]["input"] = "flow"
    (copy / "config.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match=r"of another kind: model\.luminous\.input \(flow there, gamma here\)"):
        _check(small_config(records=records, **{"train.teacher_from": str(copy)}), records)


def test_runs_without_a_teacher_to_give(run, records, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = small_config(records=records, **{"train.teacher_from": str(copy)})
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({name: v for name, v in facts.items() if name != "train_digest"}))
    with pytest.raises(UserError, match="run.json is missing or damaged"):
        _check(config, records)
    (copy / "results.json").unlink()
    with pytest.raises(UserError, match="is no finished run with a teacher phase"):
        _check(config, records)


def test_it_is_for_distillation(records):
    with pytest.raises(UserError, match="config.train.teacher_from is for distillation"):
        small_config(records=records, **{"train.teacher_from": "run", "train.distill": False})
