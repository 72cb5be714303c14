"""The networks of a config, freshly initialised."""

import dataclasses

from flax import nnx

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.models.fusion import Level
from lift_flax.models.lift_net import Head, LiftNet, MainStream
from lift_flax.models.video_resnet import TRUNKS, NormSpec, VideoResNet
from lift_flax.models.vit import PViT


def with_bn_eps(config: Config) -> Config:
    """`config` with the BatchNorm eps of its video ResNet's public weights (`TRUNKS`) where it gives none."""
    teacher = config.model.teacher
    teacher = dataclasses.replace(teacher, bn_eps=teacher.bn_eps or TRUNKS[teacher.name].bn_eps)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, teacher=teacher))


def make_teacher(config: Config, num_classes: int, rngs: nnx.Rngs) -> VideoResNet:
    """The teacher of `config`, freshly initialised."""
    c, remat = with_bn_eps(config).model.teacher, config.train.remat.trunk
    norm = NormSpec(c.bn_eps, c.bn_momentum)
    return VideoResNet(TRUNKS[c.name], num_classes, norm=norm, remat=remat, rngs=rngs)


def make_student(config: Config, num_classes: int, rngs: nnx.Rngs) -> LiftNet:
    """The student of `config`, freshly initialised.  E is the width of the R(2+1)D's last stage."""
    c, train = config.model, config.train
    dim = TRUNKS[c.teacher.name].widths[-1]
    if dim % c.num_heads:
        raise UserError(f"config.model.num_heads={c.num_heads} does not divide the {dim} channels of {c.teacher.name}")
    trunk_trains = not train.distill or train.trunk == "finetune"
    needs_trunk = c.streams != "main" or (train.distill and train.trunk == "frozen")
    main = None
    if c.streams != "luminous":
        p = c.pvit
        sizes = (config.data.size, p.blocks, p.patch, p.dim, p.num_heads, p.mlp_dim)
        options = {"gelu": p.gelu, "ln_eps": p.ln_eps, "qkv_bias": p.qkv_bias, "remat": train.remat.pvit}
        pvit = PViT(*sizes, **options, rngs=rngs)
        main = MainStream(pvit, p.dim, dim, rngs=rngs)
    levels = [
        Level(dim, c.num_heads, mlp_ratio=c.critic_mlp_ratio, scale=c.fusion_scale, foe=c.foe, rngs=rngs)
        for _ in range(c.levels)
    ]
    return LiftNet(
        make_teacher(config, num_classes, rngs) if needs_trunk else None,
        main,
        levels,
        Head(dim, num_classes, rngs=rngs),
        teacher=make_teacher(config, num_classes, rngs) if train.distill and train.trunk == "finetune" else None,
        streams=c.streams,
        trunk_trains=trunk_trains,
        remat=train.remat.levels,
    )
