"""Pretraining as a phase of training: its network, step, start and validation (lift_flax/train/phases.py)."""

import functools

import jax
import optax
from jaxtyping import Array

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.models.functional import Network, Tree, create
from lift_flax.models.inputs import Streams
from lift_flax.pretrain.losses import pretext
from lift_flax.pretrain.network import make_pretext, pretext_outputs, trained_streams
from lift_flax.pretrain.validation import make_validation
from lift_flax.pretrain.views import VIEWS, make_view_streams, view_rows
from lift_flax.train.epochs import SHOWN
from lift_flax.train.phases import Phase, graft, named, part_of
from lift_flax.train.starts import init_from
from lift_flax.train.step import TrainStep, make_step
from lift_flax.weights.pretrained import pretrained_parts

NAME = "pretrain"


def pretrain_phase(config: Config) -> Phase:
    """Makes the phase; `config` is one of `views.without_labels`."""
    network, draw = create(functools.partial(make_pretext, config), config.seed)
    shapes, parts, pretrained = named(*jax.eval_shape(draw)), pretrained_parts(config), {}
    if "teacher" in parts and "trunk" in shapes["params"]:
        pretrained |= graft("trunk", parts["teacher"].tree(part_of(shapes, "trunk")))
    if config.train.init_from:
        pretrained |= init_from.taken(config, NAME, shapes, set(pretrained))
    return Phase(
        name=NAME,
        number=3,
        epochs=config.pretrain.epochs,
        network=network,
        draw=draw,
        pretrained=pretrained,
        trains=_trains,
        averages=config.train.ema > 0,
        make_step=_make_pretrain_step,
        outputs=functools.partial(pretext_outputs, network, config),
        draws=VIEWS,
        make_streams=make_view_streams,
        make_validation=make_validation,
        shown=(*SHOWN, "std"),
    )


def check(config: Config) -> None:
    """Raises UserError where there is nothing to pretrain, or the weights to start from do not fit."""
    if not trained_streams(config):
        raise UserError(
            "config.model.streams=main with a ViT that is not trained from scratch leaves nothing to pretrain: set "
            "config.model.pvit.unfreeze=all without its init_from, or keep both streams"
        )
    train = config.train
    if train.batch_size // train.accumulate < 2:
        raise UserError(
            f"config.train.batch_size={train.batch_size} with accumulate={train.accumulate} computes one clip at a "
            "time, and pretraining tells clips apart: set a larger batch_size"
        )
    _, draw = create(functools.partial(make_pretext, config), config.seed)
    shapes, parts = named(*jax.eval_shape(draw)), pretrained_parts(config)
    if "teacher" in parts and "trunk" in shapes["params"]:
        parts["teacher"].check(part_of(shapes, "trunk"))
    if train.init_from:
        init_from.check(config, [init_from.fitting(config, NAME, shapes)])


def _trains(path: str) -> bool:
    """All of the network is trained."""
    del path
    return True


def _make_pretrain_step(network: Network, config: Config, optimizer: optax.GradientTransformation) -> TrainStep:
    def loss_fn(params: Tree, stats: Tree, streams: Streams):
        out, stats = pretext_outputs(network, config, params, stats, view_rows(streams), train=True)
        by_clip: dict[str, Array] = {name: rows.reshape(-1, VIEWS, *rows.shape[1:]) for name, rows in out.items()}
        metrics = pretext(by_clip, streams["backwards"], config)
        return metrics["loss"], (stats, metrics)

    return make_step(loss_fn, optimizer, _trains, config)
