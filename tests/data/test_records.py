"""The order of examples, the shares of processes, and batches from real encoded videos."""

import contextlib
import dataclasses
import itertools
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import flags

from data_prep.audit.items import find_items
from lift_flax.data.batches import eval_batches, read_eval_examples, train_batches
from lift_flax.data.fitting import check_fits
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.video import flow_codes, sampling
from lift_flax.video.decode import decode_flow, decode_frames
from tests import ROOT
from tests.support.small_config import small_config

FIELDS = {"clip": ((4, 4, 32, 32, 3), np.uint8), "label": ((4,), np.int32), "weight": ((4,), np.float32)}


def _batches(opened, config, count, **kwargs) -> list[dict]:
    ids = opened.split(1, "train")
    with contextlib.closing(train_batches(opened, config, ids, seed=5, **{"first_step": 0, **kwargs})) as it:
        return list(itertools.islice(it, count))


def _assert_same(one: list[dict], two: list[dict]) -> None:
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(scope="module")
def opened(records):
    return open_records(str(records))


def test_batches_are_uint8_clips_of_one_shape(records, opened):
    for batch in _batches(opened, small_config(records=records), 3):
        assert {name: (batch[name].shape, batch[name].dtype) for name in FIELDS} == FIELDS
        assert [opened.index[i].label for i in batch["id"].tolist()] == batch["label"].tolist()


def test_an_epoch_holds_every_clip_once_and_the_next_has_another_order(records, opened):
    config = small_config(records=records, **{"train.batch_size": 6})
    ids = [batch["id"].tolist() for batch in _batches(opened, config, 6)]
    first, second = sum(ids[:3], []), sum(ids[3:], [])
    assert sorted(first) == sorted(second) == sorted(opened.split(1, "train"))
    assert first != second


def test_order_and_pixels_depend_on_the_step_alone(records, opened):
    config = small_config(records=records)
    whole = _batches(opened, config, 7)
    _assert_same(_batches(opened, config, 3, first_step=4), whole[4:])
    uncached = small_config(records=records, **{"data.cache": "none"})
    _assert_same(_batches(opened, uncached, 7), whole)


@pytest.mark.slow
def test_loader_processes_change_nothing(records, opened):
    whole = _batches(opened, small_config(records=records), 7)
    workers = small_config(records=records, **{"data.cache": "none", "data.workers": 2})
    given = {name: (flags.FLAGS[name].present, flags.FLAGS[name].default) for name in flags.FLAGS}
    parsed = flags.FLAGS.is_parsed()
    _assert_same(_batches(opened, workers, 3, first_step=4), whole[4:])
    assert flags.FLAGS.is_parsed() == parsed  # of the program that reads batches
    assert {name: (flags.FLAGS[name].present, flags.FLAGS[name].default) for name in given} == given


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_take_contiguous_rows_of_the_same_global_batches(records, opened, processes):
    config = small_config(records=records)
    shares = [_batches(opened, config, 5, rows=rows) for rows in np.split(np.arange(4), processes)]
    joined = [{k: np.concatenate([s[i][k] for s in shares]) for k in shares[0][i]} for i in range(5)]
    _assert_same(joined, _batches(opened, config, 5))


@pytest.mark.parametrize("processes", [1, 2])
def test_eval_counts_every_clip_once(records, opened, processes):
    config = small_config(records=records)
    ids = opened.split(1, "test")  # 6 clips in batches of 4
    seen, weights = [], []
    for rows in np.split(np.arange(4), processes):
        batches = eval_batches(opened, config, ids, rows=rows)
        with contextlib.closing(batches):
            for batch in batches:
                assert batch["clip"].shape[0] == 4 // processes
                seen += [i for i, w in zip(batch["id"].tolist(), batch["weight"], strict=True) if w]
                weights += batch["weight"].tolist()
    assert sorted(seen) == sorted(ids)
    assert len(weights) == 8 and sum(weights) == 6


def test_a_clip_of_two_frames_repeats_them(records, opened):
    (example,) = read_eval_examples(opened, small_config(records=records), ["test/still/g3_7"])
    clip = example["clip"]
    np.testing.assert_array_equal(clip, clip[[0, 0, 2, 2]])


def test_flow_comes_with_the_frames_it_belongs_to(records, opened):
    """Same frames and same crop, and motion to the right where the bar is that moves so."""
    config = small_config("tiny,luminous=flow", records=records)
    ids = [i for i in opened.split(1, "train") if "/right/" in i]
    batches = train_batches(opened, config, ids, seed=0, first_step=0)
    with contextlib.closing(batches):
        batch = next(batches)
    assert batch["flow"].shape == (*batch["clip"].shape[:4], 2) and batch["flow"].dtype == np.uint8
    u = flow_codes.decode(batch["flow"])[..., 0]
    bright = batch["clip"].mean(axis=-1) > 35
    assert u[bright].mean() > 1 and u[bright].mean() > u[~bright].mean()
    source = tfds.builder_from_directory(opened.parts[0].folder).as_data_source("all")
    evaluated = eval_batches(opened, config, ids)
    with contextlib.closing(evaluated):
        batch = next(evaluated)
    for i, codes in zip(batch["id"].tolist(), batch["flow"], strict=True):
        record = source[opened.index[i].position]
        stored = decode_flow(record["flow"], sampling.eval_indices(record["num_frames"], 4), (43, 32))  # [4, 32, 43, 2]
        left = sampling.crop_origin(*stored.shape[1:3], 32, 0.5, 0.5)[1]
        np.testing.assert_array_equal(codes, stored[:, :, left : left + 32])
    gamma = eval_batches(opened, small_config(records=records), ids)
    with contextlib.closing(gamma):
        assert "flow" not in next(gamma)


def test_records_of_an_earlier_version_have_a_constant_rate():
    """They hold neither times nor seconds: frames are those by number."""
    old = open_records(str(ROOT / "tests" / "golden" / "workdir_7a093b0" / "records"))
    ids = old.split(1, "test")
    source = tfds.builder_from_directory(old.parts[0].folder).as_data_source("all")
    for example in read_eval_examples(old, small_config(records=old.dir), ids):
        record = source[old.index[example["id"]].position]
        assert "times" not in record and "seconds" not in record
        stored = decode_frames(record["video"], sampling.eval_indices(record["num_frames"], 4), 32)
        left = sampling.crop_origin(*stored.shape[1:3], 32, 0.5, 0.5)[1]
        np.testing.assert_array_equal(example["clip"], stored[:, :, left : left + 32])
    assert ids


def test_records_without_flow_are_refused(opened):
    config = small_config("tiny,luminous=flow", records=opened.dir)
    check_fits(opened, config)
    with pytest.raises(UserError, match="holds no optical flow: build it again with --flow --overwrite"):
        check_fits(dataclasses.replace(opened, prepared={**opened.prepared, "flow": "none"}), config)


def test_records_of_another_data_set_are_refused(opened):
    infar = dataclasses.replace(opened, source="infar")
    with pytest.raises(UserError, match="holds infar, the config is for hmdb51: use the config of infar"):
        check_fits(infar, small_config(records=opened.dir, dataset="hmdb51"))
    check_fits(infar, small_config(records=opened.dir, dataset="mine"))


def test_validation_takes_whole_groups_of_training_clips(opened):
    train, validation = opened.train_and_validation(1, 0.34, 0)
    assert sorted(train + validation) == sorted(opened.split(1, "train"))
    groups = lambda ids: {opened.index[i].group for i in ids}  # noqa: E731
    assert validation and not groups(train) & groups(validation)
    assert {opened.index[i].label for i in validation} == {opened.index[i].label for i in train} == {0, 1, 2}
    assert opened.train_and_validation(1, 0.1, 0) == (opened.split(1, "train"), [])  # no group is that small
    assert opened.train_and_validation(1, 0.0, 0) == (opened.split(1, "train"), [])


@pytest.mark.parametrize(("folder", "message"), [
    ("", "config.data.dir is empty"),
    ("/does/not/exist", "does not exist"),
    (".", "holds no finished records"),
])  # fmt: skip
def test_wrong_folders_are_named(folder, message):
    with pytest.raises(UserError, match=message):
        open_records(folder)


@pytest.mark.parametrize("name", ["folds.json", "prep_report.json", "*.array_record*"])
def test_damaged_records_are_named(records, tmp_path, name):
    copy = tmp_path / "records"
    shutil.copytree(records, copy)
    (file,) = copy.rglob(name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    config = small_config(records=copy)
    with pytest.raises(UserError, match="build the records again with --overwrite"):
        opened = open_records(str(copy))
        list(eval_batches(opened, config, opened.split(1, "train")))


@pytest.mark.parametrize(("name", "change", "message"), [
    ("prep_report.json", lambda of: [], r"prep_report.json is missing or damaged \(no object\)"),
    ("prep_report.json", lambda of: {"hello": 1}, r"\(no source\)"),
    ("prep_report.json", lambda of: {**of, "settings": {"size": 1, "flow": ""}}, "no codec in settings"),
    ("prep_report.json", lambda of: {**of, "flow": 3}, "flow is damaged"),
    ("prep_report.json", lambda of: {**of, "frames": "many"}, "frames is damaged"),
    ("prep_report.json", lambda of: {**of, "frames": -5}, r"\(frames is -5\)"),
    ("prep_report.json", lambda of: {**of, "flow": {**of["flow"], "rms_pixels": math.nan}}, r"\(flow is nan\)"),
    ("prep_report.json", lambda of: {**of, "mean_luma": {"percentiles": {"50": math.inf}}}, r"\(mean_luma is inf\)"),
    ("prep_report.json", lambda of: {**of, "records": "../other"}, r"records in \.\./other"),
    ("folds.json", lambda of: {}, r"folds.json is missing or damaged \(no classes\)"),
    ("folds.json", lambda of: {**of, "folds": {}}, "no fold"),
    ("folds.json", lambda of: {**of, "folds": {"1": {"train": [1]}}}, "train is damaged"),
    ("folds.json", lambda of: {**of, "clips": of["clips"][1:]}, "lists .*, which is none of the clips"),
    ("folds.json", lambda of: {**of, "clips": of["clips"] + of["clips"][:1]}, "two clips of one id"),
    ("folds.json", lambda of: {**of, "classes": ["one"]}, "of class 1, and there are 1"),
])  # fmt: skip
def test_files_of_another_shape_are_named(records, tmp_path, name, change, message):
    for file in ("prep_report.json", "folds.json"):
        shutil.copy(records / file, tmp_path)
    (tmp_path / name).write_text(json.dumps(change(json.loads((tmp_path / name).read_text()))))
    with pytest.raises(UserError, match=f"{message}.*: build the records again with --overwrite"):
        open_records(str(tmp_path))
    with pytest.raises(UserError, match=message):
        find_items(tmp_path)


def test_unknown_folds_and_empty_splits_are_named(opened):
    with pytest.raises(UserError, match="has no fold 2: set config.data.fold to one of 1"):
        opened.split(2, "train")
    with pytest.raises(UserError, match="split 'other' of fold 1 is empty"):
        opened.split(1, "other")
