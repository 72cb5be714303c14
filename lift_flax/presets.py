"""What config files are made of: the fields of lift_flax/config.py, with a preset and short keys on top.

A config file, such as `configs/arid.py` or one of your own, defines `get_config(arg)`, which returns the result of
`presets.get_config(arg, ...)`.  `arg` is what follows the colon in `--config=NAME:PRESET,key=value,...`; both parts are
optional:

  preset  paper (default, the same as large), large, medium, small (N = 8, 8, 6, 4 levels),
          fast (paper with the R(2+1)D at 112x112), tiny (random initialisation, for a CPU)
  keys    n, teacher, luminous, distill, unfreeze, vit_blocks, foe, streams: they override the preset
          and give every row of the paper's Table VI (that without distillation with more epochs: docs/paper_notes.md)
"""

import dataclasses
import functools
from typing import Any

from ml_collections import ConfigDict, FieldReference

from lift_flax.config import AUGMENTATIONS, Config
from lift_flax.fields import may_be_auto


def defaults() -> ConfigDict:
    """All fields with their defaults: the paper's set-up."""
    config = ConfigDict(dataclasses.asdict(Config()))
    for name in may_be_auto(Config):  # of no fixed type, so that it takes the text "auto", too
        group, _, field = name.rpartition(".")
        values = functools.reduce(getattr, group.split("."), config)
        default = values[field]
        del values[field]
        values[field] = FieldReference(default, field_type=object)
    return config


# Both trunks small and from random initialisation: minutes on a laptop, for demonstration and tests.
_TINY = {
    "data.num_frames": 12,
    "data.size": 64,
    "data.workers": 0,
    "data.cache": "memory",
    "model.levels": 2,
    "model.num_heads": 4,
    "model.luminous.size": 64,
    "model.teacher.name": "r2plus1d_tiny",
    "model.pvit.blocks": 3,
    "model.pvit.patch": 16,
    "model.pvit.dim": 96,
    "model.pvit.num_heads": 3,
    "model.pvit.mlp_dim": 384,
    "model.pvit.unfreeze": "all",
    "train.batch_size": 8,
    "train.learning_rate": 1e-3,
    "train.teacher_epochs": 20,
    "train.student_epochs": 8,
    "pretrain.epochs": 20,
    # All others are off: eight epochs of a student from random weights are too few for them.
    **{f"augment.{name}": {"flip": 0.5, "affine": 0.5, "jitter": 0.5}.get(name, 0.0) for name in AUGMENTATIONS},
}
# For a few clips of one's own, beside `tiny` (configs/own.py): chosen on validation clips (docs/results.md).
FEW_CLIPS: dict[str, Any] = {
    "data.sampling": "auto",
    "data.window_seconds": "auto",
    "data.test_windows": "auto",
    "data.cache": "auto",
    "model.luminous.input": "auto",
    "model.luminous.flow_std": "auto",
    "train.init_from": "auto",
    "train.teacher_least_steps": 1000,
    "train.student_least_steps": 300,
    "pretrain.least_steps": 1000,
}
# Beside FEW_CLIPS: a frozen ViT-S with patches of 14, whose outputs are kept (configs/own.py).  It was trained by day,
# so that dark clips are lit for it, to the brightness of a usual picture.
VIT_S: dict[str, Any] = {
    "model.main_input": "lit",
    "model.luminous.gamma_target": 100.0,
    "data.size": 112,
    "data.features": "cache",
    "data.feature_views": 8,
    "model.pvit.blocks": 12,
    "model.pvit.patch": 14,
    "model.pvit.dim": 384,
    "model.pvit.num_heads": 6,
    "model.pvit.mlp_dim": 1536,
    "model.pvit.final_norm": True,
    "model.pvit.output": "class+mean",
    "model.pvit.unfreeze": "none",
}
# The same with a ViT-B, and an R(2+1)D-18 from random weights, for an accelerator.
VIT_B: dict[str, Any] = VIT_S | {
    "data.size": 224,
    "data.num_frames": 16,
    "model.levels": 4,
    "model.num_heads": 8,
    "model.luminous.size": 112,
    "model.teacher.name": "r2plus1d_18",
    "model.pvit.dim": 768,
    "model.pvit.num_heads": 12,
    "model.pvit.mlp_dim": 3072,
    "train.batch_size": 32,
}
# For clips in any light, beside any preset (configs/any.py); docs/light.md says what each does.
ANY_LIGHT: dict[str, Any] = {
    "augment.exposure": 0.8,
    "model.luminous.input": "motion",
    "model.main_input": "motion",
    "model.output": "levels+late",
    "model.positions": "learnt",
    "train.distill_term": "kl",
    "train.main_weight": 1.0,
}
PRESETS: dict[str, dict[str, Any]] = {  # fields by dotted name
    "paper": {"model.levels": 8},
    "large": {"model.levels": 8},
    "medium": {"model.levels": 6},
    "small": {"model.levels": 4},
    "fast": {"model.luminous.size": 112},
    "tiny": _TINY,
}

_YES_NO = {"yes": True, "no": False}
KEYS = {  # key of the string argument -> (path of the field, how its text is read)
    "n": ("model.levels", int),
    "teacher": ("model.teacher.name", str),
    "luminous": ("model.luminous.input", str),
    "distill": ("train.distill", _YES_NO.__getitem__),
    "unfreeze": ("model.pvit.unfreeze", str),
    "vit_blocks": ("model.pvit.blocks", int),
    "foe": ("model.foe", _YES_NO.__getitem__),
    "streams": ("model.streams", str),
}
# What `streams` asks for beside itself: one stream alone has no head but that of the levels.
ONE_STREAM: dict[str, Any] = {"model.output": "levels", "train.main_weight": 0.0}


def get_config(arg: str | None, *, preset: str = "paper", own: Any = None, **overrides) -> ConfigDict:
    """Defaults, then the preset (`preset` unless `arg` names one), then `overrides` (dotted names), then `arg`'s keys.

    Args:
      own: presets of this config file, {name: {dotted name: value}}: they stand beside those of all, or in their place.

    Raises:
      ValueError: an unknown preset or key, or a value that the key does not take; the message lists what is known.
    """
    words = [word for word in (arg or "").split(",") if word]
    if words and "=" not in words[0]:
        preset = words.pop(0)
    known = PRESETS | dict(own or {})
    if preset not in known:
        raise ValueError(f"unknown preset '{preset}' in the config's argument; known: {', '.join(known)}")
    c = defaults()
    c.update_from_flattened_dict(known[preset])
    c.update_from_flattened_dict(overrides)
    for word in words:
        key, _, text = word.partition("=")
        if key not in KEYS:
            raise ValueError(f"unknown key '{key}' in the config's argument; known: {', '.join(KEYS)}")
        path, read = KEYS[key]
        try:
            c.update_from_flattened_dict(
                {path: read(text)} | (ONE_STREAM if key == "streams" and text != "both" else {})
            )
        except (KeyError, ValueError):
            raise ValueError(f"key '{key}' in the config's argument does not take '{text}'") from None
    return c.lock()
