"""Clips of no class: their records, and what learns from them."""

import shutil

import pytest

from data_prep import build
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.pretrain.run import pretrain
from lift_flax.pretrain.run import resolve as resolve_pretraining
from lift_flax.train.run import resolve
from tests.conftest import moving_bar
from tests.support.small_config import small_config
from tests.support.video_files import write_video

QUICK = {
    "model.luminous.input": "motion",
    "model.streams": "luminous",
    "pretrain.epochs": 1,
    "train.learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def unlabelled(records, build_once):
    """Records of eight new videos in four groups, and of one that `records` trains on, in a group of its own."""

    def make(folder):
        for index in range(8):
            write_video(folder / "videos" / f"g{index // 2}_{index}.mp4", moving_bar(index % 3, index, 7 + index))
        shutil.copy(records.parent / "videos" / "train" / "down" / "g0_0.mp4", folder / "videos" / "g9_0.mp4")
        flags = ["--videos", str(folder / "videos"), "--out", str(folder / "more"), "--no-flow"]
        build.main(["folder", *flags, "--unlabelled", "--group-regex", r"(g\d)_", "--workers", "1"])

    return build_once("unlabelled", make) / "more"


def test_all_are_learnt_from(unlabelled):
    opened = open_records(str(unlabelled))
    assert not opened.classes and {entry.label for entry in opened.index.values()} == {-1}
    assert {entry.group for entry in opened.index.values()} == {"g0", "g1", "g2", "g3", "g9"}
    start = resolve_pretraining(small_config(records=unlabelled, **QUICK), opened)
    assert start.train_ids == list(opened.index) and not start.val_ids


@pytest.mark.slow
def test_a_pretraining_runs_to_its_end(unlabelled, tmp_path):
    found = pretrain(small_config(records=unlabelled, **QUICK), tmp_path / "workdir")
    assert (found["clips"], found["steps"]) == (9, 3)


def test_beside_clips_of_known_classes(records, unlabelled):
    """All but those of a group that is tested, and the one that is trained on under another name."""
    opened = open_records(f"{records},{unlabelled}")
    config = small_config(records=opened.place, **{**QUICK, "pretrain.clips": "train+other"})
    start = resolve_pretraining(config, opened)
    learnt, tested = start.train_ids, {opened.index[i].group for i in opened.split(1, "test")}
    assert len(opened.classes) == 3 and tested == {"g3"}
    assert learnt[18:] == [f"more:g{index // 2}_{index}" for index in range(6)]
    assert all(opened.index[i].label == -1 for i in learnt[18:])
    assert "3 other clips are left out: of groups held out, or the same as clips in use" in start.notes


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
