"""Attention rollout: how much of what the head averages came from each patch and frame, by attention alone.

Abnar & Zuidema, "Quantifying Attention Flow in Transformers" (ACL 2020): a sublayer x + attention(x) takes half from
the token itself and half by the mean of its heads' weights, and sublayers are multiplied.  LayerNorms and MLPs act on
each token alone and drop out.  The Fourier Enhancement mixes tokens without attention: it counts as the identity.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Weights = Float[Array, "B N _ R"]  # of one attention: how much each head takes of every token R, for each that asks


def patch_rollout(blocks: Sequence[Weights]) -> Float[Array, "B R"]:
    """How much a ViT's output took of [class token, patch 1, patch 2, ...]; sums to 1.

    Args:
      blocks: weights of each block in order; of the last block those of the class token [B, N, 1, R] where it is the
        output, and all where half of the output is the mean of the patches.
    """
    tokens = blocks[0].shape[-1]
    shares = jnp.broadcast_to(jnp.eye(tokens), (len(blocks[0]), tokens, tokens))  # [B, R, R]
    for weights in blocks:
        shares = 0.5 * shares[:, : weights.shape[2]] + 0.5 * _taken(weights, shares)
    if shares.shape[1] == 1:
        return shares[:, 0]
    return 0.5 * shares[:, 0] + 0.5 * shares[:, 1:].mean(axis=1)


class LevelWeights(NamedTuple):
    """What a level's attentions took, and how its residual is shared.

    Attributes:
      lift, critic, fusion: weights of its attentions.
      luminous_share: the luminous stream's share of the residual, for each token; 1 in the paper's Eq. 2.
    """

    lift: Weights
    critic: Weights
    fusion: Weights
    luminous_share: Float[Array, "B S"]


def frame_rollout(
    levels: Sequence[LevelWeights],
    streams: str,
    counts: tuple[int, int, int],
    pooled: Float[Array, "B S"] | None = None,
) -> tuple[Float[Array, "B R"], Float[Array, "B S"]]:
    """How much the mean over the fused tokens took of each token of the (main, luminous) stream.

    Both together sum to 1, and a stream that is left out has none.  With two streams and Eq. 2's residual the main one
    has 1/2^N in all, whatever was learnt, since every fusion halves it: only its spread over frames says something.
    Heads of single streams (`model.output`) are not in it: it is what the head of the fused tokens took.

    Args:
      levels: in order; without any, the head reads the main stream alone.
      streams: both, or the only one: main or luminous.  Its tokens then stand for the other's too.
      counts: clips, tokens of the main stream, tokens of the luminous one: B, R, S.
      pooled: each fused token's share in the head's mean; None where all have the same.
    """
    b, r, s = counts
    own = jnp.eye(r + s)
    of_main, of_luminous = own[:r], own[r:]  # [R, R+S], [S, R+S]
    x = jnp.broadcast_to(of_luminous if streams == "luminous" else of_main, (b, r, r + s))
    y = jnp.broadcast_to(of_main if streams == "main" else of_luminous, (b, s, r + s))
    for level in levels:
        x = 0.5 * x + 0.5 * _taken(level.lift, x)
        y = 0.5 * y + 0.5 * _taken(level.critic, y)
        kept = y
        if x.shape == y.shape:
            share = level.luminous_share[..., None]
            kept = share * y + (1 - share) * x
        x = 0.5 * kept + 0.5 * _taken(level.fusion, x)  # the luminous stream asks, the main stream answers
    shares = x.mean(axis=1) if pooled is None else jnp.einsum("BS,BSP->BP", pooled, x)  # [B, R+S]
    return shares[:, :r], shares[:, r:]


def _taken(weights: Weights, shares: Float[Array, "B R P"]) -> Float[Array, "B _ P"]:
    """What an attention carries over of the shares of the tokens that it reads."""
    return weights.mean(axis=1).astype(jnp.float32) @ shares
