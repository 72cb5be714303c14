"""One level of LIFT-Net: LIFT on the main stream, Critic on the luminous stream, and their Fusion (paper III-B to E).

Every sublayer is x + LN(sublayer(x)): the norm sits on the branch, the sum is not normalised.

Each module here names its attention weights "attention" [B, N, S, R] where it is given `Intermediates`.
"""

import math

from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.fourier import FourierEnhancement
from lift_flax.models.intermediates import Intermediates, keep, within
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.layers.dense import gelu
from lift_flax.models.layers.norm import LayerNorm
from lift_flax.models.vit import Mlp

LN_EPS = 1e-5  # PyTorch's default, which the authors will have used


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

    NOTE(paper): "MLP, GeLU, layer normalization" leaves the MLP open: here Linear to `mlp_ratio` * E, GELU, Linear.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: int, *, rngs: nnx.Rngs):
        self.attention = MultiHeadAttention(dim, num_heads, rngs=rngs)
        self.norm1 = LayerNorm(dim, eps=LN_EPS, rngs=rngs)
        self.mlp = Mlp(dim, mlp_ratio * dim, gelu="exact", rngs=rngs)
        self.norm2 = LayerNorm(dim, eps=LN_EPS, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B S E"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B S E"]:
        x = x + self.norm1(self.attention(x, x, intermediates=intermediates))
        return x + self.norm2(gelu(self.mlp(x)))


class Fusion(nnx.Module):
    """FoE(LN(attention) + H_LS): the luminous stream asks, the main stream answers (Eqs. 1 to 4).

    Args:
      scale: "num_heads" divides the dot products by the root of the number of heads, as Eq. 1 is written; "head_dim"
        by the root of the channels per head, as usual.  Both span the same functions; the first starts sharper.
      foe: False leaves the Fourier Enhancement out.
    """

    def __init__(self, dim: int, num_heads: int, *, scale: str, foe: bool, rngs: nnx.Rngs):
        divisor = {"num_heads": num_heads, "head_dim": dim // num_heads}[scale]
        self.attention = MultiHeadAttention(dim, num_heads, scale=1 / math.sqrt(divisor), rngs=rngs)
        self.norm = LayerNorm(dim, eps=LN_EPS, rngs=rngs)
        self.foe = FourierEnhancement(dim, eps=LN_EPS, rngs=rngs) if foe else None

    def __call__(
        self,
        luminous: Float[Array, "B S E"],
        main: Float[Array, "B R E"],
        *,
        intermediates: Intermediates | None = None,
    ) -> Float[Array, "B S E"]:
        """Fuses the streams.

        Intermediates:
          "attention" [B, N, S, R]; "before_foe" [B, S, E], the result of Eqs. 1 and 2, and "after_foe" [B, S, E], that
            of Eqs. 3 and 4 (absent without a Fourier Enhancement).
        """
        fused = self.norm(self.attention(luminous, main, intermediates=intermediates)) + luminous
        fused = keep(intermediates, "before_foe", fused)
        return fused if self.foe is None else keep(intermediates, "after_foe", self.foe(fused))


class Level(nnx.Module):
    """LIFT and Critic side by side, then Fusion.  The fused sequence is the next level's main stream."""

    def __init__(self, dim: int, num_heads: int, *, mlp_ratio: int, scale: str, foe: bool, rngs: nnx.Rngs):
        self.lift = Lift(dim, num_heads, rngs=rngs)
        self.critic = Critic(dim, num_heads, mlp_ratio, rngs=rngs)
        self.fusion = Fusion(dim, num_heads, scale=scale, foe=foe, rngs=rngs)

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
