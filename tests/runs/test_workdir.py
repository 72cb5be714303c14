"""The folder of a run: what continues it, what is refused, and what is left alone."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from lift_flax import files
from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.runs import config_file
from lift_flax.runs.metrics_log import read_metrics
from lift_flax.runs.workdir import check_shared, claim, digest, facts, is_of, phase_folder
from lift_flax.train.run import train_and_test
from tests.support.small_config import small_config


@pytest.fixture(scope="module")
def config(records) -> Config:
    return small_config(records=records)


def test_workdirs_of_other_runs_are_refused(run, config, tmp_path):
    workdir, other = tmp_path / "run", dataclasses.replace(config, seed=1)
    shutil.copytree(run, workdir)
    stated = json.loads((workdir / "run.json").read_text())
    (workdir / "run.json").write_text(json.dumps({**stated, "data_digest": "of other clips"}))
    with pytest.raises(UserError, match="was trained on other clips"):
        train_and_test(config, workdir)
    (workdir / "run.json").unlink()
    with pytest.raises(UserError, match="run.json is missing or damaged"):
        train_and_test(config, workdir)
    (workdir / "run.json").write_text(json.dumps(stated))
    before = (workdir / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"holds a run of another config: seed \(0 there, 1 now\)"):
        train_and_test(other, workdir)
    assert (workdir / "config.json").read_bytes() == before
    (foreign := tmp_path / "foreign").mkdir()
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and not a workdir"):
        train_and_test(config, foreign)
    assert [p.name for p in foreign.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_start_that_failed_does_not_keep_its_workdir(run, config, tmp_path, capsys):
    workdir = tmp_path / "workdir"
    workdir.mkdir()
    for name in ("config.json", "run.json", "metrics.jsonl"):
        shutil.copy(run / name, workdir)
    other = dataclasses.replace(config, seed=1)
    results = train_and_test(
        dataclasses.replace(other, train=dataclasses.replace(config.train, teacher_epochs=1)), workdir
    )
    assert results["num_examples"] == 6 and "starting it anew" in capsys.readouterr().out
    assert max(line["step"] for line in read_metrics(workdir) if line["phase"] == "teacher") == 5


def _claim(workdir: Path, config: Config, records: Path, number: int = 1, **changes) -> None:
    opened = dataclasses.replace(open_records(str(records)), **changes)
    ids = opened.split(1, "train"), [], opened.split(1, "test")
    claim(workdir, number, config, opened, *ids, weights={})


def test_claiming_a_workdir_without_any_checkpoint_starts_it_anew(config, records, tmp_path, capsys):
    _claim(tmp_path, config, records)
    (tmp_path / "metrics.jsonl").write_text("of the start that failed")
    (tmp_path / "tensorboard" / "teacher").mkdir(parents=True)
    other = dataclasses.replace(config, seed=1)
    _claim(tmp_path, other, records)
    assert "starting it anew" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "run.json"]
    assert config_file.load(tmp_path / "config.json") == other
    assert facts(tmp_path)["classes"] == ["down", "right", "still"]


def test_records_prepared_otherwise_and_other_weights_are_refused(config, records, tmp_path):
    _claim(tmp_path, config, records)
    (tmp_path / "results.json").write_text("{}")
    prepared = {**open_records(str(records)).prepared, "short_side": 7}
    with pytest.raises(UserError, match="was trained on records prepared otherwise"):
        _claim(tmp_path, config, records, prepared=prepared)
    stated = facts(tmp_path) | {"weights": {"pvit": "0" * 64}}
    (tmp_path / "run.json").write_text(json.dumps(stated))
    with pytest.raises(UserError, match="started from other weights than init_from holds now"):
        _claim(tmp_path, config, records)


def test_the_same_names_with_other_pictures_are_other_clips(config, records, tmp_path):
    """Two data sets may have the same ids; records of earlier versions say nothing of their pictures."""
    opened = open_records(str(records))
    splits = opened.split(1, "train"), [], opened.split(1, "test")
    assert all(entry.content for entry in opened.index.values())
    of_earlier = dataclasses.replace(opened, index={i: e._replace(content="") for i, e in opened.index.items()})
    changed = {id: entry._replace(content="other") for id, entry in opened.index.items()}
    of_others = dataclasses.replace(opened, index=changed)
    assert is_of(digest(opened, *splits), opened, *splits)
    assert not is_of(digest(opened, *splits), of_others, *splits)
    assert is_of(digest(of_earlier, *splits), opened, *splits)
    _claim(tmp_path, config, records)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match="was trained on other clips than"):
        _claim(tmp_path, config, records, index=changed)


def test_another_process_sees_the_same_folder_config_clips_and_weights(config, records, tmp_path, monkeypatch):
    monkeypatch.setattr("lift_flax.runs.workdir._SHARED_SECONDS", 0)
    opened = open_records(str(records))
    ids = opened.split(1, "train"), [], opened.split(1, "test")
    _claim(tmp_path, config, records, number=5)
    check_shared(tmp_path, 5, config, opened, *ids, weights={})
    with pytest.raises(UserError, match="is not the same folder on every process"):
        check_shared(tmp_path, 6, config, opened, *ids, weights={})
    with pytest.raises(UserError, match="or the weights of init_from are not those of the first process"):
        check_shared(tmp_path, 5, config, opened, *ids, weights={"pvit": "0" * 64})
    with pytest.raises(UserError, match="are not those of the first process"):
        check_shared(tmp_path, 5, config, opened, ids[2], *ids[1:], weights={})
    with pytest.raises(UserError, match="holds a run of another config"):
        check_shared(tmp_path, 5, dataclasses.replace(config, seed=1), opened, *ids, weights={})
    curve = dataclasses.replace(config, log=dataclasses.replace(config.log, light_curve=not config.log.light_curve))
    with pytest.raises(UserError, match="light_curve must be the same on every process"):
        check_shared(tmp_path, 5, curve, opened, *ids, weights={})


_OTHER = '{"classes": 3, "prepared": {}, "train_digest": 1}'


@pytest.mark.parametrize(
    "text",
    [None, "{", "[]", '{"classes": []}', _OTHER, _OTHER.replace("3", "[]")],
    ids=["missing", "cut off", "a list", "a part", "other classes", "prepared without its parts"],
)
def test_facts_that_are_missing_or_damaged(tmp_path, text):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run.json is missing or damaged.*: give the training command of this run"):
        facts(tmp_path)


def test_a_phase_that_was_not_trained(tmp_path):
    with pytest.raises(UserError, match="holds no trained teacher yet: train first"):
        phase_folder(tmp_path, "teacher")
    (tmp_path / "teacher").mkdir()
    assert phase_folder(tmp_path, "teacher") == tmp_path / "teacher"


def test_folders_with_another_config_json_are_left_alone(config, tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["Other"]}')
    (tmp_path / "metrics.jsonl").write_text("mine")
    with pytest.raises(UserError, match="architectures: no such field"):
        train_and_test(config, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == "mine" and not (tmp_path / "lock").exists()


def test_a_finished_run_without_checkpoints_stays_what_it_is(run, config, tmp_path, capsys):
    workdir = tmp_path / "workdir"
    shutil.copytree(run, workdir)
    for phase in ("teacher", "student"):
        shutil.rmtree(workdir / phase)
    before = (workdir / "metrics.jsonl").read_text()
    with pytest.raises(UserError, match="holds a run of another config"):
        train_and_test(dataclasses.replace(config, seed=1), workdir)
    train_and_test(config, workdir)
    assert "holds a finished run" in capsys.readouterr().out
    assert (workdir / "metrics.jsonl").read_text() == before


def test_two_runs_do_not_share_a_workdir(config, tmp_path):
    with files.only_writer(tmp_path / "workdir", "--workdir"), pytest.raises(UserError, match="another process is"):
        train_and_test(config, tmp_path / "workdir")


def test_a_damaged_end_is_evaluated_again(run, config, tmp_path):
    workdir = tmp_path / "workdir"
    shutil.copytree(run, workdir)
    before = json.loads((workdir / "results.json").read_text())
    (workdir / "results.json").write_text('{"dataset": "sm')
    after = train_and_test(config, workdir)
    assert after["student"] == before["student"] and after["teacher"] == before["teacher"]


def test_a_training_reads_nothing_of_what_pretraining_is_set_to(run, config):
    """So runs from before there was any continue."""
    other = dataclasses.replace(
        config, pretrain=dataclasses.replace(config.pretrain, epochs=config.pretrain.epochs + 1)
    )
    config_file.check_same_run(config, other, run)
    with pytest.raises(UserError, match=r"holds a run of another config: seed"):
        config_file.check_same_run(config, dataclasses.replace(other, seed=config.seed + 1), run)
