"""A data set is a reader, a line in the table and a config."""

import importlib
import itertools

import pytest

from data_prep import sources
from lift_flax import data_sets
from lift_flax.data_sets import DATA_SETS
from tests import ROOT


@pytest.mark.parametrize("name", DATA_SETS)
def test_reader_and_config_agree_with_the_table(name):
    data_set = DATA_SETS[name]
    reader = sources.reader(name)
    assert callable(reader.read)
    if data_set.lists is None and name != "night_figures":
        assert 0 < reader.TEST_SHARE < 1
    config = importlib.import_module(f"configs.{data_set.config}").get_config("tiny")
    if data_set.num_classes is not None:
        assert (config.dataset, config.model.luminous.input == "flow") == (name, data_set.flow)


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
