"""Fields that are "auto": what is chosen by which records, how they are set, and where they are refused."""

import dataclasses
import json

import pytest
from absl import flags

import lift_flax
from lift_flax import config_flags, fields
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.data.chosen_fields import choose
from lift_flax.data.records import Records, mixed, open_records
from lift_flax.errors import UserError
from lift_flax.runs import config_file
from lift_flax.train.run import resolve
from tests.support.small_config import small_config

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
ALL = tuple(fields.may_be_auto(Config))


@pytest.fixture
def opened(records) -> Records:
    return open_records(str(records))


def _config(*words: str) -> Config:
    arguments = config_flags.arguments_of([*words])
    values = flags.FlagValues()
    config_flags.define_config(values, arguments)
    return from_dict(config_flags.parse(values, arguments))


def _auto(**values) -> Config:
    return small_config(**{"auto": ",".join(ALL), **values})


def test_own_tiny_leaves_every_choice_to_the_records(opened):
    assert _config("--config=own:tiny").auto.split(",") == list(ALL)
    config = _auto(**{"data.dir": str(opened.dir)})
    start = resolve(config, opened)
    chosen = start.config
    assert chosen.auto == ""
    assert (chosen.data.sampling, chosen.data.test_windows, chosen.data.cache) == ("window", 5, "memory")
    assert chosen.data.window_seconds == 1
    assert choose(_auto(**{"data.stride": 2}), opened)[0].data.window_seconds == 0
    assert chosen.model.luminous.input == "flow"
    assert resolve(config, opened).config == chosen  # so the same command continues a run
    said = [note.removeprefix("auto: ").split("=")[0] for note in start.notes if note.startswith("auto: ")]
    assert sorted(said) == sorted(ALL)


def test_the_deviation_is_that_of_the_flow(opened):
    report = json.loads((opened.dir / "prep_report.json").read_text())
    chosen, _ = choose(_auto(), opened)
    expected = 3 * report["flow"]["rms_pixels"] * 127 / 20 / 255
    assert 0.01 < expected < 0.226 and chosen.model.luminous.flow_std == pytest.approx(expected, rel=6e-3)
    both = mixed([dataclasses.replace(opened, dir=opened.dir.parent / name) for name in ("one", "two")])
    assert both.flow_pixels == pytest.approx(opened.flow_pixels) and both.frames == 2 * (opened.frames or 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prepared": {"flow": "none"}, "flow_pixels": None}, ("motion", "window", 5, "memory", 0.226)),
        ({"all_frames": False, "flow_pixels": None}, ("flow", "segments", 1, "memory", 0.226)),  # as of version 0.1
        ({"frames": None, "flow_pixels": 0.001}, ("flow", "window", 5, "none", 0.01)),
        ({"frames": 10**9, "flow_pixels": 1000.0}, ("flow", "window", 5, "none", 0.226)),
    ],
    ids=["no flow", "frames missing", "still", "large"],
)
def test_other_records_have_other_values(opened, changes, expected):
    if "prepared" in changes:
        changes = {**changes, "prepared": {**opened.prepared, **changes["prepared"]}}
    config, lines = choose(_auto(), dataclasses.replace(opened, **changes))
    luminous, data = config.model.luminous, config.data
    assert (luminous.input, data.sampling, data.test_windows, data.cache, luminous.flow_std) == expected
    assert len(lines) == len(ALL)


@pytest.mark.parametrize(
    ("fields", "changes", "expected"),
    [
        ({}, {"luma": 17.0}, "shipped"),
        ({}, {"luma": 120.0}, ""),
        ({}, {"luma": None}, ""),  # of an earlier version
        ({}, {"luma": 17.0, "prepared": {"flow": "none"}}, ""),
        ({"model.teacher.name": "r2plus1d_18"}, {"luma": 17.0}, ""),
    ],
    ids=["dark", "day", "not said", "no flow", "another R(2+1)D"],
)
def test_few_dark_clips_begin_at_the_shipped_network(opened, fields, changes, expected):
    if "prepared" in changes:
        changes = {**changes, "prepared": {**opened.prepared, **changes["prepared"]}}
    assert choose(_auto(**fields), dataclasses.replace(opened, **changes))[0].train.init_from == expected


def test_mixed_clips_are_dark_where_all_folders_are(opened):
    day = dataclasses.replace(opened, luma=120.0, dir=opened.dir.parent / "day")
    assert opened.luma is not None and opened.luma < 40
    assert mixed([opened, day]).luma == 120 and mixed([day, dataclasses.replace(opened, luma=None)]).luma is None


def test_a_value_replaces_auto_and_auto_a_value():
    config = _config("--config=own:tiny,luminous=gamma", "--config.data.test_windows=3", "--config.data.cache=none")
    assert config.auto == "data.sampling,data.window_seconds,model.luminous.flow_std,train.init_from"
    assert (config.model.luminous.input, config.data.test_windows, config.data.cache) == ("gamma", 3, "none")
    config = _config("--config=demo:tiny", "--config.model.luminous.flow_std=auto")
    assert config.auto == "model.luminous.flow_std"
    assert _config("--config=demo:tiny", "--config.model.luminous.flow_std=0.1").model.luminous.flow_std == 0.1
    for word, expected in (("data.test_windows=few", "test_windows"), ("data.num_frames=auto", "num_frames")):
        with pytest.raises(UserError, match=expected):
            _config("--config=own:tiny", f"--config.{word}")
    with pytest.raises(UserError, match=r"config.auto names seed.*these are: data.sampling"):
        small_config(auto="seed")


def test_what_does_not_fit_the_choice_is_refused(opened):
    config = small_config(**{"auto": "data.sampling", "data.stride": 3})
    with pytest.raises(UserError, match="set config.data.sampling=window"):
        choose(config, dataclasses.replace(opened, all_frames=False))
    assert choose(config, opened)[0].data.sampling == "window"


def test_without_records_values_are_asked_for():
    with pytest.raises(UserError, match=r"config.model.luminous.input is auto.*set it to a value"):
        lift_flax.create_model("r2plus1d_tiny", 3, fields={"model.luminous.input": "auto"})


def test_a_run_keeps_the_values(opened, tmp_path):
    chosen, _ = choose(_auto(), opened)
    config_file.save(chosen, tmp_path / "config.json")
    assert config_file.load(tmp_path / "config.json") == chosen
