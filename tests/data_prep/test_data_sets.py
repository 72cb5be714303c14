"""A data set is a reader, a line in the table and a config."""

import importlib
import itertools

import pytest

from data_prep import sources
from lift_flax import data_sets
from lift_flax.data_sets import DATA_SETS
from tests import ROOT
from tests.support.edited_checkout import EditedCheckout

READER = """
from data_prep.sources.video_list import SourceClip, VideoList

def read(lists, videos):
    names = (lists / "toy.txt").read_text().split()
    clips = [SourceClip(videos / f"{name}.mp4", k % 2, name, "") for k, name in enumerate(names)]
    return VideoList(["left", "right"], clips, {"1": {"train": names[:2], "test": names[2:]}}, {"1": (2, 4)})
"""
CONFIG = """
from lift_flax import presets

def get_config(arg=None):
    return presets.get_config(arg, dataset="toy", **{"model.luminous.input": "flow"})
"""
PROGRAM = """
from absl import flags
from data_prep import build, sources
from data_prep.build_flags import parse_args
from lift_flax import config_flags, data_sets
from lift_flax.config import from_dict

args = parse_args(["toy", "--videos=.", "--lists=.", "--out=records"])
assert (args.flow, args.crf) == ("dis", 21)
assert [clip.label for clip in sources.read(args, None).clips] == [0, 1, 0, 1]
assert data_sets.different("toy", "arid")
printed = build._train_flags(args)
assert printed == ["--config=toy:tiny", "--config.data.dir=records"]
values, arguments = flags.FlagValues(), config_flags.arguments_of(printed)  # as it was printed
config_flags.define_config(values, arguments)
config = from_dict(config_flags.parse(values, arguments))
assert (config.dataset, config.model.luminous.input, config.data.dir) == ("toy", "flow", "records")
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
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"lift-flax build {name} " in page and f"lift-flax train --config={DATA_SETS[name].config}" in page


def test_configs_of_other_data_sets_do_not_fit():
    known = [name for name in DATA_SETS if name != "folder"]
    for one, other in itertools.product(known, known):
        assert data_sets.different(one, other) == (one != other)
    for own in ("folder", "mine"):
        assert not any(data_sets.different(own, name) or data_sets.different(name, own) for name in known)


def test_a_new_data_set_is_a_reader_a_line_and_a_config(tmp_path):
    copy = EditedCheckout(tmp_path)
    copy.add("data_prep/sources/toy.py", READER)
    line = '    "toy": DataSet("a toy", 2, "flow", "toy", lists="toy.txt", crf=21),\n'
    copy.insert("lift_flax/data_sets.py", "DATA_SETS = {", line)
    copy.add("configs/toy.py", CONFIG)
    (copy.root / "toy.txt").write_text("a b c d")
    printed = copy.run(PROGRAM)
    assert "fold 1 lists 2 train and 2 test clips; the official one has 2 and 4" in printed
