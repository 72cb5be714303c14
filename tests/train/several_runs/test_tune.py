"""Settings compared on validation clips: ranked, continued, and never a look at a test clip."""

import contextlib
import json
import re
from pathlib import Path

import pytest

from lift_flax import main
from lift_flax.data import clip_reader
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.train import tune
from tests import ROOT
from tests.support.small_config import LIGHT

CONFIG = ROOT / "tests" / "support" / "small_config.py"
LINES = """# rates

--config.train.learning_rate=0.003 train.ema=0.5  # ten thousand times
"""
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def _arguments(records: Path, workdir: Path, file: Path, **fields) -> list[str]:
    values = {**LIGHT, "data.dir": records, "data.val_share": 0.34, "log.progress": False, **fields}
    flags = [f"--config.{name}={value}" for name, value in values.items()]
    return [f"--config={CONFIG}:tiny", *flags, f"--workdir={workdir}", f"--tune={file}"]


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "settings.txt").write_text(LINES)
    return tmp_path / "settings.txt"


@contextlib.contextmanager
def _watched(monkeypatch):
    """The ids of all clips whose records are read."""
    read, seen = clip_reader.ClipReader._record, set()

    def watched(self, clip):
        seen.add(self.clips[clip][0])
        return read(self, clip)

    monkeypatch.setattr(clip_reader.ClipReader, "_record", watched)
    yield seen
    monkeypatch.undo()


def test_settings_are_ranked_and_no_test_clip_is_read(records, tmp_path, file, monkeypatch, capsys):
    opened, workdir = open_records(str(records)), tmp_path / "tuned"
    with _watched(monkeypatch) as seen:
        main.main(_arguments(records, workdir, file))
    assert seen == set(opened.split(1, "train")) and not seen & set(opened.split(1, "test"))
    ranked = json.loads((workdir / "tune.json").read_text())
    second = "train.learning_rate=0.003 train.ema=0.5"
    assert {row["setting"] for row in ranked} == {tune.AS_IT_IS, second}
    order = [(-row["student"]["top1"], row["loss"]) for row in ranked]
    assert order == sorted(order)
    for row in ranked:
        config = json.loads((workdir / row["workdir"] / "config.json").read_text())
        assert config["train"]["learning_rate"] == (1e-7 if row["setting"] == tune.AS_IT_IS else 0.003)
        assert config["train"]["ema"] == (0 if row["setting"] == tune.AS_IT_IS else 0.5)
        assert not (workdir / row["workdir"] / "results.json").exists()
        assert row["num_examples"] == 6 and len(row["student"]["interval"]) == 2
    said = capsys.readouterr().out
    assert "setting 2 of 2: train.learning_rate=0.003 train.ema=0.5" in said
    assert "of 6 validation clips; test clips were not read" in said
    steps = re.findall(r"\d+ steps, (from random weights|resuming)", said)
    assert steps == ["from random weights"] * 2
    main.main(_arguments(records, workdir, file))  # nothing is trained again
    assert "from random weights" not in capsys.readouterr().out
    assert json.loads((workdir / "tune.json").read_text()) == ranked


@pytest.mark.parametrize(("text", "message"), [
    ("train.learning_rate\n", "line 1 of .*: 'train.learning_rate' sets no field: write FIELD=VALUE"),
    ("\ntrain.learnin_rate=1\n", "line 2 of .*learnin_rate"),
    ("train.learning_rate=-1\n", r"line 1 of .*config\.train\.learning_rate"),
    ("seed=1\nseed=1\n", "line 2 of .*: 'seed=1' stands there twice"),
    ("# nothing\n", "names no settings"),
    ("data.val_share=0.7\n", "'data.val_share=0.7' validates on other clips than the config as it is"),
    ("data.size=31\n", r"line 1 of .*config\.data\.size=31 is not a multiple"),
])  # fmt: skip
def test_files_that_are_wrong(records, tmp_path, file, text, message):
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        main.main(_arguments(records, tmp_path / "tuned", file))
    assert not (tmp_path / "tuned").exists()


def test_what_cannot_be_compared(records, tmp_path, file):
    with pytest.raises(UserError, match="settings.txt cannot be read: "):
        main.main(_arguments(records, tmp_path / "tuned", tmp_path / "no" / "settings.txt"))
    with pytest.raises(UserError, match="no validation clips: set config.data.val_share"):
        main.main(_arguments(records, tmp_path / "tuned", file, **{"data.val_share": 0.0}))
    with pytest.raises(UserError, match="--tune compares settings on one fold: leave out --folds"):
        main.main([*_arguments(records, tmp_path / "tuned", file), "--folds=all"])


@pytest.mark.slow
def test_a_setting_that_fails_is_left_out(records, tmp_path, file, capsys):
    file.write_text("train.learning_rate=1e30\n")
    main.main(_arguments(records, tmp_path / "tuned", file))
    assert re.search(
        r"train\.learning_rate=1e30 failed and is not ranked: the student's loss is", capsys.readouterr().out
    )
    assert [row["setting"] for row in json.loads((tmp_path / "tuned" / "tune.json").read_text())] == [tune.AS_IT_IS]


def test_other_folders_are_left_alone(run, records, file):
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(UserError, match="is not empty and holds no settings of --tune: choose another --workdir"):
        main.main(_arguments(records, run, file))
    assert sorted(path.name for path in run.iterdir()) == before


def test_long_settings_have_folders_of_their_own():
    names = [f"model.teacher.init_from=/{'a' * 120}/{k}" for k in (1, 2)]
    folders = [tune._folder(name) for name in names]
    assert len(set(folders)) == 2 and all(len(name) < 120 and "/" not in name for name in folders)
    assert tune._folder("train.learning_rate=0.003 seed=1") == "train.learning_rate=0.003_seed=1"
