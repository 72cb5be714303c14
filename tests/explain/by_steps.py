"""The maps of an explanation computed one module after the other, without the model's own intermediates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lift_flax.models.functional import Network
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.lift_net import LiftNet, first_streams, luminous_tokens
from lift_flax.models.video_resnet import STAGES


class Maps(NamedTuple):
    """Of a batch: class activation, attention of patches [B, T, h, w], weights of frames [B, T] in either stream."""

    activation: Array
    patches: Array
    main: Array
    luminous: Array


def maps(network: Network, params: dict, stats: dict, dark: Array, luminous: Array, label: Array, stage: str) -> Maps:
    """The maps for class `label` of each clip; `stage` is "layer1" to "layer4", or "pvit" of the main stream alone."""
    model = network.module(params, stats)
    b, t = dark.shape[:2]
    main, patches = (None, jnp.ones((b, t, 1, 1))) if model.main is None else _main_stream(model, dark)
    light = None
    if model.streams != "main":
        light = luminous_tokens(model.trunk(luminous, train=False)["features"], t)
    weights = _levels(model, main, light)
    if stage == "pvit":
        activation = _of_pvit(network, params, stats, dark, label)
    else:
        activation = _of_stage(network, params, stats, luminous, label, STAGES.index(stage), main)
    return Maps(activation, patches, weights[:, :t], weights[:, t:])


def attention_weights(attention: MultiHeadAttention, x: Float[Array, "B S E"], y: Float[Array, "B R E"]) -> Array:
    """softmax(scale * q(x) k(y)^T) [B, N, S, R], by the definition."""
    q, k = (
        linear(z).reshape(*z.shape[:2], attention.num_heads, -1)
        for linear, z in ((attention.query, x), (attention.key, y))
    )
    return jax.nn.softmax(attention.scale * jnp.einsum("BSND,BRND->BNSR", q, k), axis=-1)


def _main_stream(model: LiftNet, dark: Array) -> tuple[Array, Array]:
    b, t, height, _, _ = dark.shape
    pvit = model.main.pvit
    x = pvit.embed(dark.reshape(b * t, *dark.shape[2:]))  # [B*T, R, E]
    shares = jnp.broadcast_to(jnp.eye(x.shape[1]), (len(x), x.shape[1], x.shape[1]))
    for block in pvit.blocks:
        y = block.norm1(x)
        shares = _half(shares, attention_weights(block.attention, y, y), shares)
        x = block(x)  # of the last block too: all tokens
    patches = shares[:, 0, 1:] / shares[:, 0, 1:].sum(axis=1, keepdims=True)
    side = height // pvit.patches.patch
    return model.main.tokens(x[:, 0].reshape(b, t, -1)), patches.reshape(b, t, side, side)


def _levels(model: LiftNet, main: Array | None, light: Array | None) -> Array:
    x, y = first_streams(main, light)
    own, none = jnp.eye(x.shape[1]), jnp.zeros((x.shape[1], x.shape[1]))
    from_main = None if main is None else jnp.concatenate([own, none], axis=1)[None]  # [1, T, 2T]
    from_light = None if light is None else jnp.concatenate([none, own], axis=1)[None]
    of_x, of_y = first_streams(from_main, from_light)
    for level in model.levels:
        of_x = _half(of_x, attention_weights(level.lift.attention, x, x), of_x)
        of_y = _half(of_y, attention_weights(level.critic.attention, y, y), of_y)
        of_x = _half(of_y, attention_weights(level.fusion.attention, level.critic(y), level.lift(x)), of_x)
        x, y = level(x, y)
    return of_x.mean(axis=1)


def _half(kept: Array, weights: Array, shares: Array) -> Array:
    return 0.5 * kept + 0.5 * weights.mean(axis=1) @ shares


def _of_stage(network, params, stats, luminous, label, last: int, main: Array | None) -> Array:
    """The network cut in two behind stage number `last`, and its second half differentiated."""
    model = network.module(params, stats)
    x = model.trunk.enter(luminous, train=False)
    for name in STAGES[: last + 1]:
        x = model.trunk.stage(name, x, train=False)

    def logit(x: Array) -> Array:
        model = network.module(params, stats)
        for name in STAGES[last + 1 :]:
            x = model.trunk.stage(name, x, train=False)
        return _logit(model, main, luminous_tokens(x, luminous.shape[1]), label)

    gradient = jax.grad(logit)(x)
    if last < len(STAGES) - 1:
        gradient = jax.nn.relu(gradient)
    return jax.nn.relu((gradient * x).sum(axis=-1))


def _of_pvit(network, params, stats, dark, label) -> Array:
    """The same, cut before the attention of the PViT's last block."""
    model = network.module(params, stats)
    b, t, height, _, _ = dark.shape
    x = model.main.pvit.embed(dark.reshape(b * t, *dark.shape[2:]))
    *blocks, last = model.main.pvit.blocks
    for block in blocks:
        x = block(x)
    y = last.norm1(x)

    def logit(y: Array) -> Array:
        model = network.module(params, stats)
        last = model.main.pvit.blocks[-1]
        z = x + last.attention(y, y)
        cls = (z + last.mlp(last.norm2(z)))[:, 0]
        return _logit(model, model.main.tokens(cls.reshape(b, t, -1)), None, label)

    side = height // model.main.pvit.patches.patch
    return jax.nn.relu((jax.grad(logit)(y) * y).sum(axis=-1)[:, 1:]).reshape(b, t, side, side)


def _logit(model: LiftNet, main: Array | None, light: Array | None, label: Array) -> Array:
    logits = model.head(model.fuse(*first_streams(main, light)), train=False)
    return jnp.take_along_axis(logits, label[:, None], axis=1).sum()
