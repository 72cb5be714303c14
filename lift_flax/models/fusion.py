"""One level of LIFT-Net: LIFT on the main stream, Critic on the luminous stream, and their Fusion (paper III-B to E).

Every sublayer is x + LN(sublayer(x)): the norm sits on the branch, the sum is not normalised.

Each module here names its attention weights "attention" [B, N, S, R] where it is given `Intermediates`.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.fourier import FoeNorm, FourierEnhancement
from lift_flax.models.intermediates import Intermediates, keep, within
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.layers.dense import Linear, gelu
from lift_flax.models.layers.norm import LayerNorm
from lift_flax.models.vit import Mlp

LN_EPS = 1e-5  # PyTorch's default, which the authors will have used


@dataclasses.dataclass(frozen=True)
class LevelSpec:
    """What the levels of a network are like.

    Attributes:
      num_heads: of every attention.
      critic_mlp, critic_mlp_ratio: linear maps in the Critic's MLP, 1 or 2, and with two its hidden width, in E.
      scale: "num_heads" divides the dot products of the Fusion by the root of the number of heads, as Eq. 1 is written;
        "head_dim" by the root of the channels per head, as usual.  Both span the same functions; the first starts
        sharper.
      residual: what the attention of the Fusion is added to: the luminous stream (Eq. 2), the main one, their sum, or
        a mean of both with learnt shares.  All but the first want as many tokens in either stream.
      foe_norm: of the Fourier Enhancement; None leaves that out.
    """

    num_heads: int
    critic_mlp: int = 2
    critic_mlp_ratio: int = 4
    scale: Literal["num_heads", "head_dim"] = "num_heads"
    residual: Literal["luminous", "main", "both", "gate"] = "luminous"
    foe_norm: FoeNorm | None = "plane"


class Lift(nnx.Module):
    """x + LN(MSA(x)) on the main stream."""

    def __init__(self, dim: int, num_heads: int, *, rngs: nnx.Rngs):
        self.attention = MultiHeadAttention(dim, num_heads, rngs=rngs)
        self.norm = LayerNorm(dim, eps=LN_EPS, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B S E"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B S E"]:
        return x + self.norm(self.attention(x, x, intermediates=intermediates))


class Critic(nnx.Module):
    """x + LN(MSA(x)), then x + LN(GELU(MLP(x))), on the luminous stream.

    NOTE(paper): "MLP, GeLU, layer normalization" leaves the MLP open: here Linear to `mlp_ratio` * E, GELU, Linear; or
    one Linear.
    """

    def __init__(self, dim: int, spec: LevelSpec, *, rngs: nnx.Rngs):
        self.attention = MultiHeadAttention(dim, spec.num_heads, rngs=rngs)
        self.norm1 = LayerNorm(dim, eps=LN_EPS, rngs=rngs)
        if spec.critic_mlp == 1:
            self.mlp = Linear(dim, dim, kernel_init=jax.nn.initializers.xavier_uniform(), rngs=rngs)
        else:
            self.mlp = Mlp(dim, spec.critic_mlp_ratio * dim, gelu="exact", rngs=rngs)
        self.norm2 = LayerNorm(dim, eps=LN_EPS, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B S E"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B S E"]:
        x = x + self.norm1(self.attention(x, x, intermediates=intermediates))
        return x + self.norm2(gelu(self.mlp(x)))


class Fusion(nnx.Module):
    """FoE(LN(attention) + H): the luminous stream asks, the main stream answers (Eqs. 1 to 4).

    H is the residual: the luminous stream in Eq. 2.
    """

    def __init__(self, dim: int, spec: LevelSpec, *, rngs: nnx.Rngs):
        divisor = {"num_heads": spec.num_heads, "head_dim": dim // spec.num_heads}[spec.scale]
        self.attention = MultiHeadAttention(dim, spec.num_heads, scale=1 / math.sqrt(divisor), rngs=rngs)
        self.norm = LayerNorm(dim, eps=LN_EPS, rngs=rngs)
        self.residual = spec.residual
        self.gate = Linear(2 * dim, dim, rngs=rngs) if spec.residual == "gate" else None
        self.foe = FourierEnhancement(dim, norm=spec.foe_norm, eps=LN_EPS, rngs=rngs) if spec.foe_norm else None

    def __call__(
        self,
        luminous: Float[Array, "B S E"],
        main: Float[Array, "B R E"],
        *,
        intermediates: Intermediates | None = None,
    ) -> Float[Array, "B S E"]:
        """Fuses the streams.

        Intermediates:
          "attention" [B, N, S, R]; "gate" [B, S, E], the luminous stream's share of the residual (only with a gate);
            "before_foe" [B, S, E], the result of Eqs. 1 and 2, and "after_foe" [B, S, E], that of Eqs. 3 and 4 (absent
            without a Fourier Enhancement).
        """
        fused = self.norm(self.attention(luminous, main, intermediates=intermediates))  # [B, S, E]
        fused = fused + self._residual(luminous, main, intermediates)
        fused = keep(intermediates, "before_foe", fused)
        return fused if self.foe is None else keep(intermediates, "after_foe", self.foe(fused))

    def _residual(self, luminous: Array, main: Array, intermediates: Intermediates | None) -> Float[Array, "B S E"]:
        if self.gate is not None:
            share = jax.nn.sigmoid(self.gate(jnp.concatenate([luminous, main], axis=-1)))  # [B, S, E]
            share = keep(intermediates, "gate", share)
            return share * luminous + (1 - share) * main
        if self.residual == "both":
            return luminous + main
        return main if self.residual == "main" else luminous


class Level(nnx.Module):
    """LIFT and Critic side by side, then Fusion.  The fused sequence is the next level's main stream."""

    def __init__(self, dim: int, spec: LevelSpec, *, rngs: nnx.Rngs):
        self.lift = Lift(dim, spec.num_heads, rngs=rngs)
        self.critic = Critic(dim, spec, rngs=rngs)
        self.fusion = Fusion(dim, spec, rngs=rngs)

    def __call__(
        self,
        main: Float[Array, "B R E"],
        luminous: Float[Array, "B S E"],
        *,
        intermediates: Intermediates | None = None,
    ) -> tuple[Array, Array]:
        """Returns the next level's (main, luminous), both [B, S, E].

        Intermediates:
          "lift/attention" [B, N, R, R], "critic/attention" [B, N, S, S], and those of `Fusion` with "fusion/" before.
        """
        luminous = self.critic(luminous, intermediates=within(intermediates, "critic"))
        main = self.lift(main, intermediates=within(intermediates, "lift"))
        return self.fusion(luminous, main, intermediates=within(intermediates, "fusion")), luminous
