"""The networks of a config, freshly initialised."""

import dataclasses

from flax import nnx

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.models.fusion import Level, LevelSpec
from lift_flax.models.lift_net import Head, LiftNet, MainStream, Positions
from lift_flax.models.video_resnet import TRUNKS, NormSpec, VideoResNet, map_shape
from lift_flax.models.vit import PViT


def with_bn_eps(config: Config) -> Config:
    """`config` with the BatchNorm eps of its video ResNet's public weights (`TRUNKS`) where it gives none."""
    teacher = config.model.teacher
    teacher = dataclasses.replace(teacher, bn_eps=teacher.bn_eps or TRUNKS[teacher.name].bn_eps)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, teacher=teacher))


def make_teacher(config: Config, num_classes: int | None, rngs: nnx.Rngs) -> VideoResNet:
    """The teacher of `config`, freshly initialised; without a classifier where `num_classes` is None."""
    c, remat = with_bn_eps(config).model.teacher, config.train.remat.trunk
    norm, channels = NormSpec(c.bn_eps, c.bn_momentum), config.model.luminous.channels
    options = {"norm": norm, "channels": channels, "precision": config.train.precision, "remat": remat}
    return VideoResNet(TRUNKS[c.name], num_classes, **options, rngs=rngs)


def level_count(config: Config) -> int:
    """Returns how many levels the student has: N, but none where only the streams' own logits are summed."""
    return 0 if config.model.output == "late" else config.model.levels


def luminous_token_count(config: Config) -> int:
    """Returns how many tokens the luminous stream has: S."""
    c = config.model
    t, h, w = map_shape(TRUNKS[c.teacher.name], config.data.num_frames, c.luminous.size)
    return {"frames": config.data.num_frames, "steps": t, "places": t * h * w}[c.luminous.tokens]


def make_student(config: Config, num_classes: int, rngs: nnx.Rngs) -> LiftNet:
    """The student of `config`, freshly initialised.  E is the width of the R(2+1)D's last stage."""
    c, train = config.model, config.train
    dim = TRUNKS[c.teacher.name].widths[-1]
    if dim % c.num_heads:
        raise UserError(f"config.model.num_heads={c.num_heads} does not divide the {dim} channels of {c.teacher.name}")
    trunk_trains = not train.distill or train.trunk == "finetune"
    needs_trunk = c.streams != "main" or (train.distill and train.trunk == "frozen")
    main = make_main_stream(config, dim, rngs) if c.streams != "luminous" else None
    spec = LevelSpec(
        c.num_heads, c.critic_mlp, c.critic_mlp_ratio, c.fusion_scale, c.fusion_residual, c.foe_norm if c.foe else None
    )
    levels = [Level(dim, spec, rngs=rngs) for _ in range(level_count(config))]
    positions = _positions(config, dim, rngs) if c.positions == "learnt" else None

    def head() -> Head:
        return Head(dim, num_classes, pool=c.pool, rngs=rngs)

    return LiftNet(
        make_teacher(config, num_classes, rngs) if needs_trunk else None,
        main,
        levels,
        head(),
        positions=positions,
        main_head=head() if c.output == "levels+late" or (c.output == "levels" and train.main_weight > 0) else None,
        luminous_head=head() if c.output != "levels" else None,
        output=c.output,
        teacher=make_teacher(config, num_classes, rngs) if train.distill and train.trunk == "finetune" else None,
        streams=c.streams,
        tokens=c.luminous.tokens,
        trunk_trains=trunk_trains,
        remat=train.remat.levels,
    )


def make_main_stream(config: Config, dim: int, rngs: nnx.Rngs) -> MainStream:
    """The main stream of `config` with tokens of `dim` channels, freshly initialised."""
    p, train = config.model.pvit, config.train
    sizes = (config.data.size, p.blocks, p.patch, p.dim, p.num_heads, p.mlp_dim)
    options = {name: getattr(p, name) for name in ("gelu", "ln_eps", "qkv_bias", "pre_norm", "final_norm", "output")}
    pvit = PViT(*sizes, **options, precision=train.precision, remat=train.remat.pvit, rngs=rngs)
    return MainStream(pvit, p.width, dim, rngs=rngs)


def _positions(config: Config, dim: int, rngs: nnx.Rngs) -> Positions:
    streams = config.model.streams
    counts = {"main": config.data.num_frames} if streams != "luminous" else {}
    counts |= {"luminous": luminous_token_count(config)} if streams != "main" else {}
    return Positions(counts, dim, rngs=rngs)
