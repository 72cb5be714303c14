"""Attention rollout: how much of what the head averages came from each patch and frame, by attention alone.

Abnar & Zuidema, "Quantifying Attention Flow in Transformers" (ACL 2020): a sublayer x + attention(x) takes half from
the token itself and half by the mean of its heads' weights, and sublayers are multiplied.  LayerNorms and MLPs act on
each token alone and drop out.  The Fourier Enhancement mixes tokens without attention: it counts as the identity.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Weights = Float[Array, "B N _ R"]  # of one attention: how much each head takes of every token R, for each that asks


def patch_rollout(blocks: Sequence[Weights]) -> Float[Array, "B R"]:
    """How much the class token after the last ViT block took of [itself, patch 1, patch 2, ...]; sums to 1.

    Args:
      blocks: weights of each block in order; of the last block those of the class token are enough [B, N, 1, R].
    """
    tokens = blocks[0].shape[-1]
    shares = jnp.broadcast_to(jnp.eye(tokens), (len(blocks[0]), tokens, tokens))  # [B, R, R]
    for weights in blocks:
        shares = 0.5 * shares[:, : weights.shape[2]] + 0.5 * _taken(weights, shares)
    return shares[:, 0]


def frame_rollout(
    lifts: Sequence[Weights], critics: Sequence[Weights], fusions: Sequence[Weights], streams: str
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """How much the mean over the fused tokens took of each token of the (main, luminous) stream.

    Both together sum to 1, and a stream that is left out has none.  With two streams the main one has 1/2^N in all,
    whatever was learnt, since every fusion halves it: only its spread over frames says something.

    Args:
      lifts, critics, fusions: weights of each level in order.
      streams: both, or the only one: main or luminous.  Its tokens then stand for the other's too.
    """
    frames = lifts[0].shape[-1]
    own, none = jnp.eye(frames), jnp.zeros((frames, frames))
    of_main, of_luminous = jnp.concatenate([own, none], axis=1), jnp.concatenate([none, own], axis=1)  # [T, 2T]
    shape = (len(lifts[0]), frames, 2 * frames)
    x = jnp.broadcast_to(of_luminous if streams == "luminous" else of_main, shape)
    y = jnp.broadcast_to(of_main if streams == "main" else of_luminous, shape)
    for lift, critic, fusion in zip(lifts, critics, fusions, strict=True):
        x = 0.5 * x + 0.5 * _taken(lift, x)
        y = 0.5 * y + 0.5 * _taken(critic, y)
        x = 0.5 * y + 0.5 * _taken(fusion, x)  # the luminous stream asks, the main stream answers
    shares = x.mean(axis=1)  # the head's mean over tokens: [B, 2T]
    return shares[:, :frames], shares[:, frames:]


def _taken(weights: Weights, shares: Float[Array, "B R P"]) -> Float[Array, "B _ P"]:
    """What an attention carries over of the shares of the tokens that it reads."""
    return weights.mean(axis=1).astype(jnp.float32) @ shares
