"""The earlier place of lift_flax/presets.py, kept for config files that import it from here."""

from lift_flax.config import KINETICS_MEAN, KINETICS_STD
from lift_flax.presets import KEYS, PRESETS, defaults, get_config

__all__ = ["KEYS", "KINETICS_MEAN", "KINETICS_STD", "PRESETS", "defaults", "get_config"]
