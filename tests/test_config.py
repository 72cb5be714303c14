"""Configs build, mistakes are one clear line, and a resumed run must be the same run."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from configs import arid, common, demo, hmdb51, infar, ucf101
from lift_flax import config as config_lib
from lift_flax.errors import UserError
from lift_flax.runs import config_file
from tests.support.small_config import small_config

ROOT = Path(__file__).parents[1]


def _read(values) -> config_lib.Config:
    return config_lib.from_dict(values.to_dict())


def test_leaf_configs_build():
    assert _read(demo.get_config()).dataset == "night_figures"
    assert _read(arid.get_config("tiny")).model.teacher.name == "r2plus1d_tiny"
    assert _read(arid.get_config("unfreeze=all")).model.levels == 8
    for leaf, name in ((hmdb51, "hmdb51"), (ucf101, "ucf101"), (infar, "infar")):
        config = _read(leaf.get_config("unfreeze=all"))
        assert (config.dataset, config.model.luminous.input) == (name, "flow")
        assert _read(leaf.get_config("tiny,luminous=gamma")).model.luminous.input == "gamma"


@pytest.mark.parametrize(("arg", "field", "value"), [
    (None, "model.levels", 8), ("medium", "model.levels", 6), ("small", "model.levels", 4),
    ("fast", "model.luminous.size", 112), ("fast,n=4", "model.levels", 4), ("n=2", "model.levels", 2),
    ("teacher=r3d_18", "model.teacher.bn_eps", 1e-5), ("teacher=r2plus1d_34", "model.teacher.bn_eps", 1e-3),
    ("distill=no", "train.distill", False), ("foe=no", "model.foe", False), ("vit_blocks=3", "model.pvit.blocks", 3),
    ("streams=main", "model.streams", "main"), ("luminous=flow", "model.luminous.input", "flow"),
    ("unfreeze=none", "model.pvit.unfreeze", "none"),
])  # fmt: skip
def test_presets_and_keys(arg, field, value):
    config = common.get_config(arg).unlock()
    config.model.pvit.init_from = "weights.npz"
    assert config_lib.flatten(_read(config))[field] == value


@pytest.mark.parametrize("arg", ["huge", "tiny,m=3", "n=many", "distill=perhaps"])
def test_unknown_presets_keys_and_values_are_refused(arg):
    with pytest.raises(ValueError, match="config's argument"):
        common.get_config(arg)


@pytest.mark.parametrize(("overrides", "message"), [
    ({"model.streams": "three"}, "config.model.streams is 'three': choose one of both, main, luminous"),
    ({"train.batch_size": 0}, "config.train.batch_size is 0: it must be above 0"),
    ({"augment.flip": 1.5}, "config.augment.flip is 1.5: it lies between 0 and 1"),
    ({"augment.cutmix": -0.1}, "config.augment.cutmix is -0.1: it lies between 0 and 1"),
    ({"augment.elastic_std": -1.0}, "config.augment.elastic_std is -1.0: a range must not be below 0"),
    ({"augment.rotate": float("nan")}, "config.augment.rotate is nan: it takes a finite number"),
    ({"augment.brightness": 5.0}, "config.augment.brightness is 5.0: it must be below 1"),
    ({"augment.scale": 1.0}, "config.augment.scale is 1.0: it must be below 1"),
    ({"model.luminous.input": "sound"}, "config.model.luminous.input is 'sound': choose one of gamma, flow"),
    ({"model.luminous.flow_std": 0.0}, "config.model.luminous.flow_std is 0.0: it must be above 0"),
    ({"train.weight_decay": -1.0}, "config.train.weight_decay is -1.0: it must not be below 0"),
    ({"model.teacher.bn_momentum": 7.0}, "config.model.teacher.bn_momentum is 7.0: it lies between 0 and 1"),
    ({"model.pvit.std": (0.0, 1.0, 1.0)}, "config.model.pvit.std is .*: deviations are above 0"),
    ({"data.val_share": 1.0}, "config.data.val_share"),
    ({"data.workers": 1}, "set config.data.workers=0"),
    ({"data.size": 30}, "not a multiple of config.model.pvit.patch"),
    ({"model.pvit.num_heads": 5}, "does not divide"),
    ({"model.pvit.unfreeze": "first"}, "would freeze random ViT blocks"),
    ({"train.trunk": "finetune", "train.distill": False}, "config.train.trunk=finetune"),
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


@pytest.mark.parametrize(("arguments", "message"), [
    (["--config=configs/demo.py", "--workdir=x", "--config.train.batchsize=3"], "no such field"),
    (["--config=configs/demo.py", "--workdir=x", "--config.train.batch_size=many"], "batch_size=many"),
    (["--config=configs/demo.py:huge", "--workdir=x"], "unknown preset 'huge'"),
    (["--config=configs/nothing.py", "--workdir=x"], "cannot read the config file"),
    (["--config=configs/demo.py"], "--workdir=DIR is needed"),
    (["--config=configs/demo.py", "--workdir=x", "--config.data.dir=nowhere"], "nowhere does not exist"),
])  # fmt: skip
def test_command_line_mistakes_are_one_line_and_exit_code_2(arguments, message, tmp_path):
    command = [sys.executable, "-m", "lift_flax.main", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1 and message in ran.stderr
    assert not (ROOT / "x").exists()
