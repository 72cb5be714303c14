"""A frozen ViT computed once for each view: training goes the same way, whatever was kept, cut or damaged."""

import contextlib
import itertools
import json
import resource
import shutil

import numpy as np
import pytest

from lift_flax.data.batches import train_batches
from lift_flax.data.records import open_records
from lift_flax.errors import UserError, file_system_message
from lift_flax.features.places import kept_features
from lift_flax.models.functional import flatten
from lift_flax.runs.checkpoints import read_best
from lift_flax.train.run import train_and_test, train_and_validate
from lift_flax.video.sampling import View
from tests.support.run_tools import assert_same_state, exit_codes, newest_state, running, said
from tests.support.small_config import LIGHT, small_config

VIEWS = {"model.pvit.unfreeze": "none", "data.feature_views": 3, "train.learning_rate": 1e-3}
WINDOW = {"data.sampling": "window", "data.test_windows": 2, "train.student_epochs": 2}
TRAINED, TESTED = 18, 6  # clips of the small records


@pytest.fixture
def copied(records, tmp_path):
    """Records of one's own, beside which nothing is kept."""
    shutil.copytree(records, tmp_path / "records")
    return tmp_path / "records"


def _config(run, records, **fields):
    return small_config(records=records, **{**LIGHT, **VIEWS, **WINDOW, "train.init_from": str(run), **fields})


def _kept(records, kind):
    """What is whole: a process that was killed may leave the hidden part of a file."""
    return sorted(records.glob(f"features/{kind}-*/[!.]*.npy"))


def test_training_from_kept_features_is_training(run, copied, tmp_path, capsys):
    """Bit for bit: weights, and the answers to test clips.  Each view is computed once, for all runs."""
    config = {way: _config(run, copied, **{"data.features": way}) for way in ("compute", "cache")}
    found = {}
    for way in config:
        found[way] = train_and_test(config[way], tmp_path / way)
        assert len(_kept(copied, "drawn")) == (3 * TRAINED if way == "cache" else 0)
    assert len(_kept(copied, "test")) == 2 * TESTED
    said = capsys.readouterr().out
    assert f"ViT: computing {3 * TRAINED} of {3 * TRAINED} views of training clips, once, 0.0 MB in {copied}" in said
    assert_same_state(*(newest_state(tmp_path / way, "student", config[way]) for way in config))
    with (
        np.load(tmp_path / "compute/test_predictions.npz") as one,
        np.load(tmp_path / "cache/test_predictions.npz") as two,
    ):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    assert found["compute"]["student"]["top1"] == found["cache"]["student"]["top1"]
    about = json.loads(_kept(copied, "drawn")[0].with_name("about.json").read_text())
    assert about["data.sampling"] == "window" and about["augment"]["flip"] == 0.5


def test_the_views_are_v_for_good(run, copied):
    """Of every clip there are V views at most, the same ones for other seeds and batches, and not one view V times."""
    config, opened = _config(run, copied, **{"train.batch_size": 6}), open_records(str(copied))
    ids, seen = opened.split(1, "train"), {}
    for seed, size in ((1, 6), (2, 4)):
        config = _config(run, copied, **{"train.batch_size": size})
        batches = train_batches(opened, config, ids, seed=seed, first_step=0, fixed_views=3)
        with contextlib.closing(batches):
            for batch in itertools.islice(batches, 30):
                for clip_id, view, clip in zip(batch["id"], batch["view"], batch["clip"], strict=True):
                    seen.setdefault((clip_id, int(view)), set()).add(clip.tobytes())
    assert len(seen) == 3 * TRAINED
    assert all(len(clips) == 1 for clips in seen.values())
    assert len({clip for clips in seen.values() for clip in clips}) > 2 * TRAINED


def _built_with(records, folder, **settings):
    """A copy of records whose report says that they were built with other settings."""
    shutil.copytree(records, folder)
    report = json.loads((folder / "prep_report.json").read_text())
    report["settings"] |= settings
    (folder / "prep_report.json").write_text(json.dumps(report))
    return open_records(str(folder))


def test_what_decides_the_features_names_them(run, copied, records, tmp_path):
    """Other weights, frames, augmentations or records have files of their own; test views know no augmentation."""
    opened = open_records(str(copied))
    weights = {"kernel": np.ones(3, np.float32)}

    def of(records=opened, weights=weights, **fields):
        kept = kept_features(records, _config(run, copied, **fields), weights)
        return kept.drawn[0].name, kept.tested[0].name

    usual = of()
    for changed in (
        of(weights={"kernel": np.ones(4, np.float32)}),
        of(**{"data.window_seconds": 0.5}),
        of(**{"model.pvit.blocks": 1}),
        of(**{"train.precision": "float32"}),
        of(_built_with(records, tmp_path / "coarse", crf=40)),
    ):
        assert changed[0] != usual[0] and changed[1] != usual[1]
    assert of(**{"augment.flip": 0.1})[0] != usual[0] and of(**{"augment.flip": 0.1})[1] == usual[1]
    assert of(_built_with(records, tmp_path / "tvl1", flow="tvl1")) == usual
    assert of(**{"seed": 7, "model.luminous.gamma": 1.1, "train.learning_rate": 1.0}) == usual


def test_a_damaged_file_is_named(run, copied):
    kept = kept_features(open_records(str(copied)), _config(run, copied), {"kernel": np.ones(3)})
    kept.make_folders()
    values = np.ones(kept.shape, np.float32)
    for view in (View(0.25, 0.5), 2):
        kept.write(0, 17, view, values)
        np.testing.assert_array_equal(kept.read(0, 17, view), values)
        path = kept.path(0, 17, view)
        whole = path.read_bytes()
        headers = (whole[:8] + b" " + whole[9:], b"PK\x03\x04" + whole[4:])  # read as Python; an archive's
        for damaged in (whole[:100], b"", None, *headers):
            path.unlink(missing_ok=True)
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(UserError, match=rf"{path} is missing or damaged .*: delete it and give the same"):
                kept.read(0, 17, view)


def test_a_disk_without_room_is_named(run, copied):
    """As a limit of the size of files, which the system reports in the same way."""
    kept = kept_features(open_records(str(copied)), _config(run, copied), {"kernel": np.ones(3)})
    kept.make_folders()
    values, limits = np.ones(kept.shape, np.float32), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            kept.write(0, 17, 0, values)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "raise the limit of the size of files" in (file_system_message(raised.value) or "")
    assert not [path for path in kept.path(0, 17, 0).parent.iterdir() if path.name.startswith(".")]


def test_what_cannot_be_kept_is_refused(run, copied):
    for fields, message in (
        ({"data.features": "cache", "data.feature_views": 0}, "set config.data.feature_views=8"),
        ({"model.pvit.unfreeze": "first"}, "is for a frozen ViT: set config.model.pvit.unfreeze=none"),
        ({"augment.cutmix": 0.5}, "mixes a clip with others"),
    ):
        with pytest.raises(UserError, match=message):
            _config(run, copied, **fields)
    nameless = open_records(str(copied))
    nameless.index.update({i: entry._replace(content="") for i, entry in nameless.index.items()})
    with pytest.raises(UserError, match="does not name the pictures of its clips: build it again"):
        kept_features(nameless, _config(run, copied), {"kernel": np.ones(3)})


@pytest.mark.slow
def test_choosing_by_validation_keeps_no_test_view(copied, tmp_path):
    held_out = {**LIGHT, "data.val_share": 0.34, "train.student_epochs": 1}
    train_and_validate(small_config(records=copied, **held_out), tmp_path / "start")
    fields = {**held_out, **VIEWS, "data.features": "cache", "train.init_from": str(tmp_path / "start")}
    train_and_validate(small_config(records=copied, **fields), tmp_path / "run")
    opened = open_records(str(copied))
    tested = {str(opened.index[i].position) for i in opened.split(1, "test")}
    kept = {path.name.split(".")[0] for kind in ("test", "drawn") for path in _kept(copied, kind)}
    assert len(kept) == TRAINED and not kept & tested


@pytest.mark.slow
def test_clips_of_several_folders_that_are_lit(copied, tmp_path):
    """Each has its files beside its own records, and training is as without them."""
    shutil.copytree(copied, tmp_path / "other" / "dark")
    place = f"{copied},{tmp_path / 'other' / 'dark'}"
    fields = {**LIGHT, "train.student_epochs": 2, "model.main_input": "lit", "model.luminous.gamma_target": 100.0}
    train_and_test(small_config(records=place, **fields), tmp_path / "start")
    fields |= {**VIEWS, "train.init_from": str(tmp_path / "start")}
    config = {way: small_config(records=place, **fields, **{"data.features": way}) for way in ("compute", "cache")}
    for way in config:
        train_and_test(config[way], tmp_path / way)
    assert_same_state(*(newest_state(tmp_path / way, "student", config[way]) for way in config))
    for folder in (copied, tmp_path / "other" / "dark"):
        assert len(_kept(folder, "drawn")) == 3 * TRAINED and len(_kept(folder, "test")) == TESTED


@pytest.mark.slow
def test_a_run_that_was_killed_while_it_computed_goes_on(run, copied, tmp_path):
    """What is whole stays, and the end is that of a run in one go."""
    config = _config(run, copied, **{"data.features": "cache"})
    whole = tmp_path / "whole"
    train_and_test(config, whole)
    files = {path: path.read_bytes() for path in _kept(copied, "*")}
    shutil.rmtree(copied / "features")
    fields = {**LIGHT, **VIEWS, **WINDOW, "train.init_from": str(run), "data.features": "cache"}
    with running(1, tmp_path / "cut", copied, **fields) as (process,):
        while len(_kept(copied, "drawn")) < 10:
            assert process.poll() is None, said(tmp_path / "cut")
        process.kill()
    before = {path: path.stat().st_mtime_ns for path in _kept(copied, "drawn")}
    assert 10 <= len(before) < 3 * TRAINED
    train_and_test(config, tmp_path / "cut")
    assert {path: path.read_bytes() for path in _kept(copied, "*")} == files
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert_same_state(*(newest_state(place, "student", config) for place in (whole, tmp_path / "cut")))


@pytest.mark.slow
def test_two_processes_keep_the_same_features(run, copied, tmp_path):
    """The files are those of one process but for rounding; training from them is training without, bit for bit."""
    fields = {**LIGHT, **VIEWS, **WINDOW, "train.init_from": str(run)}
    train_and_test(_config(run, copied, **{"data.features": "cache"}), tmp_path / "one")
    files = {path: np.load(path) for path in _kept(copied, "*")}
    shutil.rmtree(copied / "features")
    for way in ("compute", "cache"):
        with running(2, tmp_path / way, copied, **fields, **{"data.features": way}) as started:
            assert exit_codes(started) == [0, 0], said(tmp_path / way)
    assert files.keys() == set(_kept(copied, "*"))
    for path, values in files.items():
        np.testing.assert_allclose(np.load(path), values, atol=1e-5)
    one, two = (flatten(read_best(tmp_path / way / "student")[0]) for way in ("compute", "cache"))
    assert one.keys() == two.keys()
    for path, values in one.items():
        np.testing.assert_array_equal(values, two[path])
