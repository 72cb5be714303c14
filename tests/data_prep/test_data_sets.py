"""A data set is a reader, a line in the table and a config."""

import importlib
import itertools
from pathlib import Path

import pytest

import data_prep.sources
from data_prep import build, sources
from data_prep.build_flags import parse_args
from lift_flax.data import data_sets
from lift_flax.data.data_sets import DATA_SETS, DataSet

READER = """
from data_prep.sources.video_list import SourceClip, VideoList

def read(lists, videos):
    names = (lists / "toy.txt").read_text().split()
    clips = [SourceClip(videos / f"{name}.mp4", k % 2, name, "") for k, name in enumerate(names)]
    return VideoList(["left", "right"], clips, {"1": {"train": names[:2], "test": names[2:]}}, {"1": (2, 4)})
"""


@pytest.mark.parametrize("name", DATA_SETS)
def test_reader_and_config_agree_with_the_table(name):
    data_set = DATA_SETS[name]
    reader = sources.reader(name)
    assert callable(reader.read)
    if data_set.lists is None and name != "night_figures":
        assert 0 < reader.TEST_SHARE < 1
    config = importlib.import_module(f"configs.{data_set.config}").get_config("tiny")
    if data_set.num_classes is not None:
        assert (config.dataset, config.model.luminous.input) == (name, data_set.luminous)


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_has_its_commands_in_the_documents(name):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"lift-flax build {name} " in page and f"lift-flax train --config={DATA_SETS[name].config}" in page


def test_configs_of_other_data_sets_do_not_fit():
    known = [name for name in DATA_SETS if name != "folder"]
    for one, other in itertools.product(known, known):
        assert data_sets.different(one, other) == (one != other)
    for own in ("folder", "mine"):
        assert not any(data_sets.different(own, name) or data_sets.different(name, own) for name in known)


def test_a_new_data_set_is_a_reader_and_a_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "readers").mkdir()
    (tmp_path / "readers" / "toy.py").write_text(READER)
    monkeypatch.setattr(data_prep.sources, "__path__", [*data_prep.sources.__path__, str(tmp_path / "readers")])
    monkeypatch.setitem(DATA_SETS, "toy", DataSet("a toy", 2, "flow", "toy", lists="toy.txt", crf=21))
    (tmp_path / "toy.txt").write_text("a b c d")

    args = parse_args(["toy", "--videos", str(tmp_path), "--lists", str(tmp_path), "--out", "records"])
    assert (args.flow, args.crf) == ("dis", 21)
    videos = sources.read(args, None)
    assert [clip.label for clip in videos.clips] == [0, 1, 0, 1]
    assert "fold 1 lists 2 train and 2 test clips; the official one has 2 and 4" in capsys.readouterr().out
    assert build._train_flags(args) == "--config=toy:tiny --config.data.dir=records"
    assert data_sets.different("toy", "arid")
