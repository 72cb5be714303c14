"""Configs build, mistakes are one clear line, and a resumed run must be the same run."""

import dataclasses
import json
import subprocess
import sys
from typing import Annotated, Literal

import pytest
from flax import nnx

import configs.any
from configs import arid, demo, hmdb51, infar, own, ucf101
from lift_flax import config_flags, fields, main, presets
from lift_flax.config import Config, Log
from lift_flax.config_checks import check_combinations, from_dict
from lift_flax.distributed import run_command
from lift_flax.errors import UserError
from lift_flax.fields import Added, Bound, flat_fields
from lift_flax.models.build import make_teacher
from lift_flax.models.layers.norm import BatchNorm
from lift_flax.runs import config_file
from lift_flax.weights.pretrained import with_settings
from tests import ROOT
from tests.support.small_config import small_config


def _read(values) -> Config:
    return from_dict(values.to_dict())


def test_leaf_configs_build():
    assert _read(demo.get_config()).dataset == "night_figures"
    for values in (demo.get_config(), configs.any.get_config("tiny"), configs.any.get_config("unfreeze=all")):
        assert _read(values).model.luminous.input == _read(values).model.main_input == "motion"
    assert _read(configs.any.get_config("tiny,luminous=gamma")).model.luminous.input == "gamma"
    assert _read(own.get_config("tiny")).dataset == ""
    assert _read(arid.get_config("tiny")).model.teacher.name == "r2plus1d_tiny"
    assert _read(arid.get_config("unfreeze=all")).model.levels == 8
    for leaf, name in ((hmdb51, "hmdb51"), (ucf101, "ucf101"), (infar, "infar")):
        config = _read(leaf.get_config("unfreeze=all"))
        assert (config.dataset, config.model.luminous.input) == (name, "flow")
        assert _read(leaf.get_config("tiny,luminous=gamma")).model.luminous.input == "gamma"


@pytest.mark.parametrize(("arg", "field", "value"), [
    (None, "model.levels", 8), ("medium", "model.levels", 6), ("small", "model.levels", 4),
    ("fast", "model.luminous.size", 112), ("fast,n=4", "model.levels", 4), ("n=2", "model.levels", 2),
    ("teacher=r3d_18", "model.teacher.name", "r3d_18"),
    ("distill=no", "train.distill", False), ("foe=no", "model.foe", False), ("vit_blocks=3", "model.pvit.blocks", 3),
    ("streams=main", "model.streams", "main"), ("streams=main", "model.output", "levels"),
    ("luminous=flow", "model.luminous.input", "flow"),
    ("unfreeze=none", "model.pvit.unfreeze", "none"),
])  # fmt: skip
def test_presets_and_keys(arg, field, value):
    config = presets.get_config(arg).unlock()
    config.model.pvit.init_from = "weights.npz"
    assert flat_fields(_read(config))[field] == value


def test_one_stream_of_any_needs_no_other_flag():
    config = _read(presets.get_config("tiny,streams=luminous", **presets.ANY_LIGHT))
    assert (config.model.output, config.train.main_weight, config.model.main_input) == ("levels", 0.0, "motion")
    assert _read(presets.get_config("tiny,streams=both", **presets.ANY_LIGHT)).model.output == "levels+late"


@pytest.mark.parametrize(("flags", "eps"), [
    ([], 1e-3),
    (["--config=arid:unfreeze=all,teacher=r3d_18"], 1e-5),
    (["--config.model.teacher.name=r3d_18"], 1e-5),
    (["--config.model.teacher.name=r2plus1d_tiny"], 1e-3),
    (["--config.model.teacher.name=r3d_18", "--config.model.teacher.bn_eps=2e-3"], 2e-3),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_bn_eps_is_that_of_the_trunk_unless_it_is_set(flags, eps):
    arguments = config_flags.arguments_of(["--config=arid:unfreeze=all", *flags, "--workdir=x"])
    config, _ = run_command.parse(main._flags(arguments), arguments)
    assert with_settings(config).model.teacher.bn_eps == eps
    teacher = nnx.eval_shape(lambda: make_teacher(config, 3, nnx.Rngs(0)))
    assert {module.eps for _, module in nnx.iter_modules(teacher) if isinstance(module, BatchNorm)} == {eps}


@pytest.mark.parametrize("arg", ["huge", "tiny,m=3", "n=many", "distill=perhaps"])
def test_unknown_presets_keys_and_values_are_refused(arg):
    with pytest.raises(ValueError, match="config's argument"):
        presets.get_config(arg)


@pytest.mark.parametrize(("overrides", "message"), [
    ({"model.streams": "three"}, "config.model.streams is 'three': choose one of both, main, luminous"),
    ({"train.batch_size": 0}, "config.train.batch_size is 0: it must be above 0"),
    ({"augment.flip": 1.5}, "config.augment.flip is 1.5: it lies between 0 and 1"),
    ({"augment.cutmix": -0.1}, "config.augment.cutmix is -0.1: it lies between 0 and 1"),
    ({"augment.elastic_std": -1.0}, "config.augment.elastic_std is -1.0: it must not be below 0"),
    ({"augment.rotate": float("nan")}, "config.augment.rotate is nan: it takes a finite number"),
    ({"augment.brightness": 5.0}, "config.augment.brightness is 5.0: it must be below 1"),
    ({"augment.scale": 1.0}, "config.augment.scale is 1.0: it must be below 1"),
    ({"model.luminous.input": "sound"}, "config.model.luminous.input is 'sound': choose one of gamma, flow"),
    ({"model.luminous.flow_std": 0.0}, "config.model.luminous.flow_std is 0.0: it must be above 0"),
    ({"train.weight_decay": -1.0}, "config.train.weight_decay is -1.0: it must not be below 0"),
    ({"model.teacher.bn_momentum": 7.0}, "config.model.teacher.bn_momentum is 7.0: it lies between 0 and 1"),
    ({"model.pvit.std": (0.0, 1.0, 1.0)}, "config.model.pvit.std is .*: it must be above 0"),
    ({"data.val_share": 1.0}, "config.data.val_share"),
    ({"data.workers": 1}, "set config.data.workers=0"),
    ({"data.size": 30}, "not a multiple of config.model.pvit.patch"),
    ({"model.pvit.num_heads": 5}, "does not divide"),
    ({"model.pvit.unfreeze": "first"}, "would freeze random ViT blocks"),
    ({"train.trunk": "finetune", "train.distill": False}, "config.train.trunk=finetune"),
    ({"train.class_weights": "inverse", "data.balance": "classes"}, "both make up for rare classes: choose one"),
    ({"augment.exposure_lighter": 300.0}, "config.augment.exposure_lighter is 300.0: it must not be above 20"),
    ({"train.temperature": 1e20}, "config.train.temperature"),
    ({"model.streams": "main", "model.output": "late"}, "set config.model.output=levels and config.train"),
])  # fmt: skip
def test_impossible_values_are_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        small_config(**overrides)


def test_config_json_comes_back_the_same(tmp_path):
    config = small_config()
    config_file.save(config, tmp_path / "config.json")
    assert config_file.load(tmp_path / "config.json") == config
    with pytest.raises(UserError, match="is not a workdir of a run"):
        config_file.load(tmp_path / "elsewhere" / "config.json")


def test_only_where_a_run_runs_may_change(tmp_path):
    config = small_config()
    moved = dataclasses.replace(config, data=dataclasses.replace(config.data, cache="none", workers=3))
    config_file.check_same_run(config, moved, tmp_path)
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, learning_rate=0.5), seed=3)
    with pytest.raises(UserError, match=r"seed \(0 there, 3 now\), train.learning_rate \(0.001 there, 0.5 now\)"):
        config_file.check_same_run(config, other, tmp_path)


@pytest.mark.parametrize("body", [
    "return presets.get_config(arg, **{'train.batchsize': 3})",
    "c = presets.get_config(arg); c.train.batchsize = 3; return c",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_a_mistyped_field_in_a_file_of_ones_own_is_one_line(body, tmp_path):
    leaf = tmp_path / "mine.py"
    leaf.write_text(f"from lift_flax import presets\n\n\ndef get_config(arg=None):\n    {body}\n")
    with pytest.raises(UserError, match=r"no such field.*[dD]id you mean .*batch_size.*\?") as caught:
        main.main([f"--config={leaf}:tiny", "--workdir=x"])
    assert len(str(caught.value).splitlines()) == 1


def test_flags_of_configs_take_names_hyphens_and_underscores():
    _, named, field = config_flags.arguments_of(["--config=own:tiny,n=1", "--config.train.batch-size=3"])
    assert named == f"--config={ROOT / 'configs' / 'own.py'}:tiny,n=1" and field == "--config.train.batch_size=3"
    assert config_flags.arguments_of(["--config", "own"])[1:] == ["--config", str(ROOT / "configs" / "own.py")]
    assert config_flags.arguments_of(["--num-processes=2", "--process_id=-1"])[1:] == [
        "--num_processes=2",
        "--process_id=-1",
    ]
    assert {"arid", "demo", "own"} <= set(config_flags.names())


def test_every_default_is_within_its_bound():
    values = dataclasses.asdict(Config())
    assert fields.read(Config, values) == Config() == fields.read(Config, {})


def test_fields_that_are_missing_take_their_defaults(tmp_path):
    values = dataclasses.asdict(small_config())
    del values["train"]["adam_eps"], values["log"]
    assert from_dict(values) == dataclasses.replace(small_config(), log=Log())
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert config_file.load(tmp_path / "config.json").train == small_config().train
    del values["model"]["teacher"]["bn_eps"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert config_file.load(tmp_path / "config.json").model.teacher.bn_eps == 1e-3  # the one value that there was


@dataclasses.dataclass(frozen=True)
class _Light:
    lit: Annotated[Literal["all", "half"], Added(before="half")] = "all"
    level: Annotated[float, Bound(ge=-1, lt=2), Added(before=-1.0)] = 0.5


@dataclasses.dataclass(frozen=True)
class _Lamp:
    count: int = 3
    light: _Light = _Light()


def test_later_fields_take_what_their_absence_meant_in_old_files():
    assert fields.read(_Lamp, {"count": 1}) == _Lamp(1)
    assert fields.read(_Lamp, {"count": 1}, stored=True) == _Lamp(1, _Light("half", -1.0))
    there = {"light": {"lit": "all"}}
    assert fields.read(_Lamp, there, stored=True) == _Lamp(3, _Light("all", -1.0))


@pytest.mark.parametrize(("values", "message"), [
    ({"cuont": 3}, r"^config.cuont: no such field; did you mean config.count\?$"),
    ({"level": 0.5}, r"^config.level: no such field; did you mean config.light.level\?$"),
    ({"light": {"lti": "all"}}, r"^config.light.lti: no such field; did you mean config.light.lit\?$"),
    ({"zzz": 3}, "lift_flax/config.py lists all fields"),
    ({"light": 3}, "config.light is 3: it is a group of fields"),
    ({"light": {"level": 2}}, "config.light.level is 2.0: it must be below 2"),
    ({"light": {"level": -1.5}}, "config.light.level is -1.5: it must not be below -1"),
    ({"light": {"level": "bright"}}, "config.light.level is 'bright': it takes a value of type float"),
    ({"count": True}, "config.count is True: it takes a value of type int"),
])  # fmt: skip
def test_unknown_and_mistyped_fields_are_one_line(values, message):
    with pytest.raises(UserError, match=message):
        fields.read(_Lamp, values)


@pytest.mark.parametrize("text", ["", "{", "[3]", "3"])
def test_a_damaged_config_json_is_one_line(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json is damaged"):
        config_file.load(tmp_path / "config.json")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--config=demo", "--workdir=x", "--config.train.batchsize=3"], "no such field; did you mean config.train.batch_"),
    (["--config=dmeo", "--workdir=x"], r"did you mean --config=demo\?"),
    (["--config=demo", "--workdir=x", "--config.train.batch_size=many"], "batch_size=many: write a whole number$"),
    (["--config=demo", "--workdir=x", "--config.log.light_curve=yes"], "light_curve=yes: write True or False$"),
    (["--config=demo", "--workdir=x", "--config.train.ema=much"], "train.ema=much: write a number$"),
    (["--config=configs/demo.py:huge", "--workdir=x"], "unknown preset 'huge'"),
    (["--config=configs/nothing.py", "--workdir=x"], "cannot read the config file"),
    (["--config=configs/demo.py"], "--workdir=DIR is needed"),
    (["--workdir=x"], "--config=NAME is needed: any, arid, demo, "),
    (["--config=demo", "--workdir=x", "--wrokdir=y"], "wrokdir"),
    (["--config=demo", "--workdir=x", "y"], "'y' is not a flag"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_command_line_mistakes_are_one_line(arguments, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=message) as caught:
        main.main(arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert not (ROOT / "x").exists()


def test_a_mistake_ends_the_command_with_code_2():
    command = [sys.executable, "-m", "lift_flax.main", "--config=configs/demo.py", "--workdir=x"]
    ran = subprocess.run([*command, "--config.data.dir=nowhere"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1 and "nowhere does not exist" in ran.stderr
    assert not (ROOT / "x").exists()


@pytest.mark.parametrize(("preset", "dim"), [("vits", 384), ("vitb", 768)])
def test_own_presets_with_a_frozen_vit_ask_for_its_weights(preset, dim):
    values = own.get_config(preset)
    assert (values.model.pvit.dim, values.model.pvit.blocks, values.data.features) == (dim, 12, "cache")
    with pytest.raises(UserError, match=r"give pretrained weights in config\.model\.pvit\.init_from"):
        check_combinations(dataclasses.replace(_read(values), auto=""))
    alone = own.get_config(f"{preset},streams=luminous")  # whose ViT nothing reads
    check_combinations(dataclasses.replace(_read(alone), auto=""))
