"""Clips of no class: their records, and what learns from them."""

import pytest

from data_prep import build
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.pretrain.run import pretrain
from lift_flax.pretrain.run import resolve as resolve_pretraining
from lift_flax.train.run import resolve
from tests.support.small_config import small_config

QUICK = {
    "model.luminous.input": "motion",
    "model.streams": "luminous",
    "pretrain.epochs": 1,
    "train.learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def unlabelled(records, build_once):
    """Records of the 24 videos of `records`, of whose folders nothing is read but the groups in their names."""

    def make(folder):
        flags = ["--videos", str(records.parent / "videos"), "--out", str(folder / "records"), "--no-flow"]
        build.main(["folder", *flags, "--unlabelled", "--group-regex", r"(g\d)_", "--workers", "1"])

    return build_once("unlabelled", make) / "records"


def test_pretraining_takes_them_all(unlabelled, tmp_path):
    opened = open_records(str(unlabelled))
    assert not opened.classes and {entry.label for entry in opened.index.values()} == {-1}
    assert {entry.group for entry in opened.index.values()} == {"g0", "g1", "g2", "g3"}
    found = pretrain(small_config(records=unlabelled, **QUICK), tmp_path / "workdir")
    assert (found["clips"], found["steps"]) == (24, 6)


def test_beside_clips_of_known_classes(records, unlabelled):
    """All but those of a group that is tested: here both folders hold the same groups."""
    place = f"{records},{unlabelled.rename(unlabelled.parent / 'more')}"
    opened = open_records(place)
    config = small_config(records=place, **{**QUICK, "pretrain.clips": "train+other"})
    learnt = resolve_pretraining(config, opened).train_ids
    (unlabelled.parent / "more").rename(unlabelled)
    tested = {opened.index[i].group for i in opened.split(1, "test")}
    assert len(opened.classes) == 3 and tested == {"g3"}
    assert len(learnt) == 18 + 18 and not tested & {opened.index[i].group for i in learnt}
    assert all(opened.index[i].label == -1 for i in learnt[18:])


def test_training_refuses_them(unlabelled):
    with pytest.raises(UserError, match=r"holds clips without labels, .*`lift-flax pretrain` learns from such clips$"):
        resolve(small_config(records=unlabelled, **QUICK), open_records(str(unlabelled)))


def test_next_command_and_no_warning_of_splits(records, tmp_path, capsys):
    flags = ["--videos", str(records.parent / "videos"), "--out", str(tmp_path / "records"), "--no-flow"]
    with pytest.raises(UserError, match="--unlabelled reads neither classes nor splits: leave out --test-share"):
        build.main(["folder", *flags, "--unlabelled", "--test-share=0.3"])
    build.main(["folder", *flags, "--unlabelled", "--workers", "1"])
    shown = capsys.readouterr().out
    assert "lift-flax pretrain --config=own:tiny" in shown and "no groups" not in shown
    build.main(["folder", *flags, "--unlabelled", "--workers", "1"])
    assert "is already built with these settings" in capsys.readouterr().out
