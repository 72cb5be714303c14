"""Attention rollout: how much of what the head averages came from each patch and frame, by attention alone.

Abnar & Zuidema, "Quantifying Attention Flow in Transformers" (ACL 2020): a sublayer x + attention(x) takes half from
the token itself and half by the mean of its heads' weights, and sublayers are multiplied.  LayerNorms and MLPs act on
each token for itself and drop out.  The Fourier Enhancement mixes tokens without attention: it counts as the identity.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from lift_flax.models.fusion import Level
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.lift_net import LiftNet, MainStream, first_streams, luminous_tokens
from lift_flax.models.vit import PViT

Spectra = list[tuple[Array, Array]]  # [B, T, E] before and after the Fourier Enhancement of each level


def walk(model: LiftNet, dark: Float[Array, "B T H W 3"], luminous: Float[Array, "B T h w 3"]) -> dict:
    """Goes through the student step by step, with the numbers of inference, and keeps what is looked at.

    Returns:
      "logits" [B, K] and "fused" [B, T, E], those of the student itself;
      "main", "luminous" [B, T]: the weight of each frame's token in either stream; both together sum to 1, and a stream
        that is left out has none.  A luminous token is counted to the frame in whose place it stands.  With two streams
        the main one has 1/2^N in all, whatever was learnt, since every fusion halves it: only its spread says much;
      "patches" [B, T, h, w]: what each frame's class token took from its patches, summing to 1 over a frame's; without
        a main stream h = w = 1;
      "foe": (before, after) of every Fourier Enhancement.
    """
    b, t = dark.shape[:2]
    main = light = None
    patches = jnp.ones((b, t, 1, 1))
    if model.streams != "luminous":
        main, patches = _main_stream(model.main, dark)
    if model.streams != "main":
        light = luminous_tokens(model.trunk(luminous, train=False)["features"], t)  # [B, T, E]
    fused, shares, foe = _levels(list(model.levels), main, light)
    weights = shares.mean(axis=1)  # the head's mean over tokens: [B, 2T]
    return {
        "logits": model.head(fused, train=False),
        "fused": fused,
        "main": weights[:, :t],
        "luminous": weights[:, t:],
        "patches": patches,
        "foe": foe,
    }


def patch_rollout(pvit: PViT, images: Float[Array, "B H W 3"]) -> tuple[Float[Array, "B E"], Float[Array, "B R"]]:
    """(class token, what it took from [itself, patch 1, patch 2, ...]); the latter sums to 1."""
    x = pvit.embed(images)  # [B, R, E]
    shares = jnp.broadcast_to(jnp.eye(x.shape[1]), (len(x), x.shape[1], x.shape[1]))  # [B, R, R]
    for block in pvit.blocks[:-1]:
        y = block.norm1(x)
        shares = _through(block.attention, y, y, shares)
        x = block(x)
    last = pvit.blocks[-1]
    y = last.norm1(x)
    taken = _taken(last.attention, y[:, :1], y, shares)  # [B, 1, R]: of the class token alone
    return last(x, only_cls=True)[:, 0], (0.5 * shares[:, :1] + 0.5 * taken)[:, 0]


def _main_stream(main: MainStream, dark: Float[Array, "B T H W 3"]) -> tuple[Array, Array]:
    """(tokens [B, T, E], shares of the patches [B, T, h, w])"""
    b, t, height, width, _ = dark.shape
    x, shares = patch_rollout(main.pvit, dark.reshape(b * t, height, width, 3))  # [B*T, E], [B*T, 1+S]
    patches = shares[:, 1:] / shares[:, 1:].sum(axis=1, keepdims=True)
    side = main.pvit.patches.patch
    return main.tokens(x.reshape(b, t, -1)), patches.reshape(b, t, height // side, width // side)


def _levels(levels: list[Level], main: Array | None, light: Array | None) -> tuple[Array, Array, Spectra]:
    """(fused tokens [B, T, E], their shares of the [main, luminous] tokens [B, T, 2T], what the FoEs saw and gave)"""
    x, y = first_streams(main, light)
    own, none = jnp.eye(x.shape[1]), jnp.zeros((x.shape[1], x.shape[1]))  # [T, T]
    from_main = None if main is None else jnp.concatenate([own, none], axis=1)  # [T, 2T]
    from_light = None if light is None else jnp.concatenate([none, own], axis=1)
    of_x, of_y = (jnp.broadcast_to(shares, (len(x), *shares.shape)) for shares in first_streams(from_main, from_light))
    foe = []
    for level in levels:
        of_x = _through(level.lift.attention, x, x, of_x)  # [B, T, 2T]
        of_y = _through(level.critic.attention, y, y, of_y)
        x, y = level.lift(x), level.critic(y)
        of_x = 0.5 * of_y + 0.5 * _taken(level.fusion.attention, y, x, of_x)
        x = level.fusion.fuse(y, x)
        if level.fusion.foe is not None:
            before, x = x, level.fusion.foe(x)
            foe.append((before, x))
    return x, of_x, foe


def _through(attention: MultiHeadAttention, x: Array, y: Array, shares: Array) -> Array:
    """Shares after x + attention(x, y), where both have the same `shares`."""
    return 0.5 * shares + 0.5 * _taken(attention, x, y, shares)


def _taken(
    attention: MultiHeadAttention, x: Float[Array, "B S E"], y: Float[Array, "B R E"], shares: Float[Array, "B R P"]
) -> Float[Array, "B S P"]:
    """What attention of x to y carries over of the shares of y."""
    return attention.weights(x, y).mean(axis=1).astype(jnp.float32) @ shares
