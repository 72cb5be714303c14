"""The smallest config that still runs every part; also a config file for the command line."""

from pathlib import Path

from ml_collections import ConfigDict

from lift_flax import presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict

OVERRIDES = {
    "dataset": "small",
    "data.num_frames": 4,
    "data.size": 32,
    "model.luminous.size": 32,
    "model.levels": 1,
    "model.pvit.blocks": 2,
    "model.pvit.dim": 24,
    "model.pvit.num_heads": 2,
    "model.pvit.mlp_dim": 48,
    "train.batch_size": 4,
    "train.teacher_epochs": 2,
    "train.student_epochs": 2,
    "log.every_steps": 1,
}

# One phase of a network that compiles in seconds, for what does not hang on the network.
LIGHT = {
    "train.learning_rate": 1e-7,
    "train.student_epochs": 4,
    "train.distill": False,
    "model.streams": "main",
    "model.foe": False,
}


def get_config(arg: str | None = None) -> ConfigDict:
    """`lift_flax.presets` with `arg`, made small."""
    values = presets.get_config(arg or "tiny").unlock()
    values.update_from_flattened_dict(OVERRIDES)
    return values.lock()


def small_config(arg: str = "tiny", records: Path | str = "", **overrides) -> Config:
    """The same, frozen, then `overrides` by dotted name."""
    values = get_config(arg).unlock()
    values.update_from_flattened_dict({"data.dir": str(records), **overrides})
    return from_dict(values.to_dict())
