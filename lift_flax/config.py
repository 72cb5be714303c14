"""The experiment as frozen dataclasses: what `configs/*.py` become at start-up, checked once.

Meanings and defaults stand in configs/common.py; this file only says what a field may hold.
"""

import dataclasses
import math
import typing

from lift_flax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Data:
    dir: str
    fold: int
    num_frames: int
    size: int
    val_share: float
    cache: typing.Literal["none", "memory"]
    workers: int


@dataclasses.dataclass(frozen=True)
class Augment:
    flip: float
    affine: float
    scale: float
    rotate: float
    translate: float
    shear: float
    optical: float
    optical_k: float
    elastic: float
    elastic_std: float
    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    rain: float
    rain_slant: float
    rain_length: float
    rain_speed: float
    rain_darken: float
    cutmix: float
    shuffle: float


@dataclasses.dataclass(frozen=True)
class Luminous:
    input: typing.Literal["gamma", "flow"]
    gamma: float
    size: int
    flow_mean: float
    flow_std: float


@dataclasses.dataclass(frozen=True)
class Teacher:
    name: typing.Literal[
        "r2plus1d_34", "r2plus1d_34_shared", "r2plus1d_18", "r2plus1d_tiny",
        "r3d_34", "r3d_18", "r3d_tiny", "mc3_18", "hara_34",
    ]  # fmt: skip
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bn_eps: float
    bn_momentum: float
    init_from: str


@dataclasses.dataclass(frozen=True)
class PViT:
    blocks: int
    patch: int
    dim: int
    num_heads: int
    mlp_dim: int
    gelu: typing.Literal["exact", "tanh"]
    ln_eps: float
    qkv_bias: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    unfreeze: typing.Literal["first", "all", "none"]
    init_from: str


@dataclasses.dataclass(frozen=True)
class Model:
    streams: typing.Literal["both", "main", "luminous"]
    levels: int
    num_heads: int
    critic_mlp_ratio: int
    fusion_scale: typing.Literal["num_heads", "head_dim"]
    foe: bool
    luminous: Luminous
    teacher: Teacher
    pvit: PViT


@dataclasses.dataclass(frozen=True)
class Remat:
    trunk: bool
    pvit: bool
    levels: bool


@dataclasses.dataclass(frozen=True)
class Train:
    batch_size: int
    teacher_epochs: int
    student_epochs: int
    learning_rate: float
    weight_decay: float
    adam_eps: float
    distill: bool
    distill_weight: float
    teacher_from: str
    trunk: typing.Literal["frozen", "finetune"]
    checkpoint_epochs: int
    dtype: typing.Literal["bfloat16", "float32"]
    accumulate: int
    profile_steps: str
    remat: Remat


@dataclasses.dataclass(frozen=True)
class Mesh:
    data: int
    fsdp: int
    heartbeat_seconds: int


@dataclasses.dataclass(frozen=True)
class Log:
    every_steps: int
    progress: bool


@dataclasses.dataclass(frozen=True)
class Config:
    dataset: str
    seed: int
    data: Data
    augment: Augment
    model: Model
    train: Train
    mesh: Mesh
    log: Log


# The eight augmentations: fields of Augment that are probabilities; its other fields are ranges.
AUGMENTATIONS = ("flip", "affine", "optical", "elastic", "jitter", "rain", "cutmix", "shuffle")

_PROBABILITIES = (*(f"augment.{name}" for name in AUGMENTATIONS), "model.teacher.bn_momentum")
_RANGES = tuple(
    name for field in dataclasses.fields(Augment) if (name := f"augment.{field.name}") not in _PROBABILITIES
)
_BELOW = {  # where a zoom, a tangent, the radial distortion or a factor of light stops making sense
    "augment.scale": 1, "augment.rotate": 360, "augment.translate": 1, "augment.shear": 90, "augment.optical_k": 0.36,
    "augment.brightness": 1, "augment.contrast": 1, "augment.saturation": 1, "augment.hue": 1, "augment.rain_slant": 90,
    "augment.rain_darken": 1,
}  # fmt: skip
_POSITIVE = (
    "data.num_frames", "data.size", "model.levels", "model.num_heads", "model.critic_mlp_ratio", "model.luminous.gamma",
    "model.luminous.size", "model.luminous.flow_std", "model.pvit.blocks", "model.pvit.patch", "model.pvit.dim",
    "model.pvit.num_heads", "model.pvit.mlp_dim", "train.batch_size", "train.learning_rate", "train.teacher_epochs",
    "train.student_epochs", "train.checkpoint_epochs", "train.accumulate", "log.every_steps", "mesh.fsdp",
    "mesh.heartbeat_seconds", "train.adam_eps", "model.teacher.bn_eps", "model.pvit.ln_eps",
)  # fmt: skip


def from_dict(values: dict) -> Config:
    """Checks nested `values` (a ConfigDict's `to_dict()`, or config.json) and freezes them.

    Raises:
      UserError: a missing, unknown or ill-typed field, or a combination that cannot work; names the field.
    """
    config = _build(Config, values, "")
    flat = flatten(config)
    for name in _POSITIVE:
        if flat[name] <= 0:
            raise UserError(f"config.{name} is {flat[name]}: it must be above 0")
    for name in _PROBABILITIES:
        if not 0 <= flat[name] <= 1:
            raise UserError(f"config.{name} is {flat[name]}: it lies between 0 and 1")
    for name in ("train.weight_decay", "train.distill_weight"):
        if flat[name] < 0:
            raise UserError(f"config.{name} is {flat[name]}: it must not be below 0")
    for part in ("teacher", "pvit"):
        if min(flat[f"model.{part}.std"]) <= 0:
            raise UserError(f"config.model.{part}.std is {flat[f'model.{part}.std']}: deviations are above 0")
    for name in _RANGES:
        if flat[name] < 0:
            raise UserError(f"config.{name} is {flat[name]}: a range must not be below 0")
    for name, bound in _BELOW.items():
        if flat[name] >= bound:
            raise UserError(f"config.{name} is {flat[name]}: it must be below {bound}")
    _check_combinations(config)
    return config


def _check_combinations(config: Config) -> None:
    data, model, train = config.data, config.model, config.train
    if config.seed < 0:
        raise UserError(f"config.seed is {config.seed}: it must not be below 0")
    if data.workers < 0:
        raise UserError(f"config.data.workers is {data.workers}: it must be 0 or more")
    if config.mesh.data != -1 and config.mesh.data < 1:
        raise UserError(f"config.mesh.data is {config.mesh.data}: a number of devices, or -1 for all that remain")
    if train.trunk == "finetune" and model.streams == "main":
        raise UserError("config.train.trunk=finetune has nothing to train with config.model.streams=main")
    if not 0 <= data.val_share < 1:
        raise UserError(f"config.data.val_share is {data.val_share}: a share lies between 0 and 1 (1 excluded)")
    if data.cache == "memory" and data.workers > 0:
        raise UserError("config.data.cache=memory keeps clips in this process: set config.data.workers=0 with it")
    if data.size % model.pvit.patch:
        raise UserError(f"config.data.size={data.size} is not a multiple of config.model.pvit.patch={model.pvit.patch}")
    if model.pvit.dim % model.pvit.num_heads:
        raise UserError(
            f"config.model.pvit.dim={model.pvit.dim} does not divide by its num_heads={model.pvit.num_heads}"
        )
    first, _, last = train.profile_steps.partition(":")
    if train.profile_steps and not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise UserError(f"config.train.profile_steps is {train.profile_steps!r}: write FIRST:LAST, for example 10:15")
    if train.batch_size % train.accumulate:
        raise UserError(f"config.train.batch_size={train.batch_size} does not divide by accumulate={train.accumulate}")
    if train.teacher_from and not train.distill:
        raise UserError("config.train.teacher_from is for distillation: set config.train.distill=True with it")
    if train.trunk == "finetune" and not train.distill:
        raise UserError("config.train.trunk=finetune is a way to distil: set config.train.distill=True with it")
    frozen = model.pvit.unfreeze != "all" and model.streams != "luminous"
    if frozen and not model.pvit.init_from:
        raise UserError(
            f"config.model.pvit.unfreeze={model.pvit.unfreeze} would freeze random ViT blocks: give pretrained weights "
            "in config.model.pvit.init_from (docs/weights.md), or train all blocks with unfreeze=all"
        )


def _build(cls, values: dict, prefix: str):
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    missing = sorted(set(hints) - set(values))
    if unknown or missing:
        word, name = ("unknown", unknown[0]) if unknown else ("missing", missing[0])
        raise UserError(f"config: {word} field {prefix}{name}; configs/common.py lists them all")
    return cls(**{name: _convert(hint, values[name], prefix + name) for name, hint in hints.items()})


def _convert(hint, value, name: str):
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UserError(f"config.{name} is {value!r}: it is a group of fields")
        return _build(hint, value, name + ".")
    if typing.get_origin(hint) is typing.Literal:
        if value not in (choices := typing.get_args(hint)):
            raise UserError(f"config.{name} is {value!r}: choose one of {', '.join(choices)}")
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or len(value) != 3:
            raise UserError(f"config.{name} is {value!r}: it takes three numbers, for R, G and B")
        if not all(type(v) in (int, float) for v in value):
            raise UserError(f"config.{name} is {value!r}: it takes three numbers, for R, G and B")
        return tuple(float(v) for v in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is float and not math.isfinite(value):
        raise UserError(f"config.{name} is {value}: it takes a finite number")
    if type(value) is not hint:
        raise UserError(f"config.{name} is {value!r}: it takes a value of type {hint.__name__}")
    return value


def flatten(config) -> dict[str, typing.Any]:
    """{"data.num_frames": 30, ...}: every field by its dotted name."""
    flat = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat.update({f"{field.name}.{k}": v for k, v in flatten(value).items()})
        else:
            flat[field.name] = value
    return flat
