"""Makes a config of given values, and checks that they can work together."""

import dataclasses

from lift_flax import fields
from lift_flax.config import Config, Data
from lift_flax.errors import UserError


def from_dict(values: dict, *, stored: bool = False) -> Config:
    """Makes a config of nested `values` (a ConfigDict's `to_dict()`, or what config.json holds), checked.

    Args:
      stored: `values` come from a config.json; a field that it lacks takes what its absence meant.

    Raises:
      UserError: an unknown or ill-typed field, a value beyond its bound, or a combination that cannot work.
    """
    config = fields.read(Config, values, stored=stored)
    named = [name.strip() for name in config.auto.split(",") if name.strip()]
    if wrong := [name for name in named if name not in fields.may_be_auto(Config)]:
        known = ", ".join(fields.may_be_auto(Config))
        raise UserError(f"config.auto names {wrong[0]}, which is not chosen from records; these are: {known}")
    auto = dict.fromkeys([*named, *fields.set_to_auto(Config, values)])
    config = dataclasses.replace(config, auto=",".join(auto))
    if not auto:
        check_combinations(config)
    return config


def check_combinations(config: Config) -> None:
    """Raises UserError for fields that cannot work together."""
    data, model, train = config.data, config.model, config.train
    if config.mesh.data != -1 and config.mesh.data < 1:
        raise UserError(f"config.mesh.data is {config.mesh.data}: set a number of devices, or -1 for all that remain")
    if train.trunk == "finetune" and model.streams == "main":
        raise UserError("config.train.trunk=finetune has nothing to train with config.model.streams=main")
    if data.cache == "memory" and data.workers > 0:
        raise UserError("config.data.cache=memory keeps clips in this process: set config.data.workers=0 with it")
    if data.size % model.pvit.patch:
        raise UserError(f"config.data.size={data.size} is not a multiple of config.model.pvit.patch={model.pvit.patch}")
    if model.pvit.dim % model.pvit.num_heads:
        raise UserError(
            f"config.model.pvit.dim={model.pvit.dim} does not divide by its num_heads={model.pvit.num_heads}"
        )
    if model.fusion_residual != "luminous" and model.luminous.tokens != "frames" and model.streams == "both":
        raise UserError(
            f"config.model.fusion_residual={model.fusion_residual} adds the streams token by token: set "
            "config.model.luminous.tokens=frames with it"
        )
    if model.streams != "both" and (model.output != "levels" or train.main_weight > 0):
        raise UserError(
            f"config.model.output={model.output} with config.train.main_weight={train.main_weight:g} is for two "
            "streams: set config.model.output=levels and config.train.main_weight=0 with one stream"
        )
    first, _, last = train.profile_steps.partition(":")
    if train.profile_steps and not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise UserError(f"config.train.profile_steps is {train.profile_steps!r}: write FIRST:LAST, for example 10:15")
    if train.batch_size % train.accumulate:
        raise UserError(f"config.train.batch_size={train.batch_size} does not divide by accumulate={train.accumulate}")
    if train.class_weights == "inverse" and data.balance == "classes":
        raise UserError(
            "config.train.class_weights=inverse and config.data.balance=classes both make up for rare classes: choose "
            "one of them"
        )
    if train.teacher_from and not train.distill:
        raise UserError("config.train.teacher_from is for distillation: set config.train.distill=True with it")
    if train.trunk == "finetune" and not train.distill:
        raise UserError("config.train.trunk=finetune is a way to distil: set config.train.distill=True with it")
    frozen = model.pvit.unfreeze != "all" and model.streams != "luminous"
    if frozen and not (model.pvit.init_from or train.init_from):
        raise UserError(
            f"config.model.pvit.unfreeze={model.pvit.unfreeze} would freeze random ViT blocks: give pretrained weights "
            "in config.model.pvit.init_from (docs/weights.md) or a run in config.train.init_from, or train all blocks "
            "with unfreeze=all; the preset :tiny starts without any"
        )
    _check_windows(data)
    _check_features(config)


def _check_windows(data: Data) -> None:
    """Raises UserError for what is said of windows where none are taken, or twice."""
    if data.sampling == "segments" and (data.stride, data.window_seconds, data.short, data.test_windows) != (
        1, 0.0, "loop", 1
    ):  # fmt: skip
        raise UserError(
            "config.data.stride, window_seconds, short and test_windows are of windows: set "
            "config.data.sampling=window with them"
        )
    if data.stride > 1 and data.window_seconds:
        raise UserError(
            f"config.data.stride={data.stride} and config.data.window_seconds={data.window_seconds:g} both say how "
            "long a window is: leave one of them out"
        )


def _check_features(config: Config) -> None:
    """Raises UserError where fixed views, or what a ViT makes of them, are asked for and cannot be had."""
    data = config.data
    if data.features == "cache" and not data.feature_views:
        raise UserError(
            "config.data.features=cache keeps fixed views of each training clip: set config.data.feature_views=8, or "
            "another number, with it"
        )
    if not data.feature_views:
        return
    if config.model.streams != "luminous" and config.model.pvit.unfreeze != "none":
        raise UserError(
            f"config.data.feature_views={data.feature_views} is for a frozen ViT: set config.model.pvit.unfreeze=none "
            "with it, or feature_views=0"
        )
    if config.augment.cutmix:
        raise UserError(
            f"config.augment.cutmix={config.augment.cutmix:g} mixes a clip with others, and fixed views are of one "
            "clip: set it to 0, or config.data.feature_views=0"
        )
