"""PViT: the first blocks of a ViT, whose class token summarises a frame (paper section III-C).

Pre-LayerNorm blocks and names as in google-research/vision_transformer and timm's `vit_base_patch16_224`.  As a rule
only the class token of the last block is read, so that block computes nothing else.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.intermediates import Intermediates, keep, within
from lift_flax.models.layers.attention import MultiHeadAttention
from lift_flax.models.layers.dense import Linear, accumulation_dtype, add_bias, gelu, matmul
from lift_flax.models.layers.norm import LayerNorm
from lift_flax.models.layers.precision import Precision, as_chosen
from lift_flax.models.layers.scan_blocks import scan_blocks

FrameOutput = Literal["class", "class+mean"]


def quick_gelu(x: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
    """x sigmoid(1.702 x), with which OpenAI trained CLIP (Radford et al., ICML 2021)."""
    return x * jax.nn.sigmoid(1.702 * x)


GELU = {
    "exact": gelu,
    "tanh": functools.partial(jax.nn.gelu, approximate=True),
    "quick": quick_gelu,
}


class PatchEmbedding(nnx.Module):
    """Cuts square images into P x P patches and maps each to E channels: a convolution of stride P, as one product."""

    def __init__(self, patch: int, dim: int, *, rngs: nnx.Rngs):
        init = jax.nn.initializers.lecun_normal(in_axis=(0, 1, 2))
        self.kernel = nnx.Param(init(rngs.params(), (patch, patch, 3, dim), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((dim,), jnp.float32))
        self.patch = patch

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B S E"]:
        b, h, w, c = images.shape
        p = self.patch
        x = images.reshape(b, h // p, p, w // p, p, c).transpose(0, 1, 3, 2, 4, 5)  # [B, H/P, W/P, P, P, 3]
        x = x.reshape(b, (h // p) * (w // p), p * p * c)  # [B, S, P*P*3]
        kernel = self.kernel[...].reshape(p * p * c, -1)  # [P*P*3, E]
        return add_bias(matmul(x, kernel), self.bias[...])  # [B, S, E]


class Mlp(nnx.Module):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, hidden: int, *, gelu: str, rngs: nnx.Rngs):
        init = jax.nn.initializers.xavier_uniform()
        self.fc1 = Linear(dim, hidden, kernel_init=init, rngs=rngs)
        self.fc2 = Linear(hidden, dim, kernel_init=init, rngs=rngs)
        self.gelu = gelu

    def __call__(self, x: Float[Array, "... E"]) -> Float[Array, "... E"]:
        return self.fc2(GELU[self.gelu](self.fc1(x)))


class ViTBlock(nnx.Module):
    """x + MSA(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, *, gelu: str, ln_eps: float, qkv_bias: bool, rngs):
        self.norm1 = LayerNorm(dim, eps=ln_eps, rngs=rngs)
        self.attention = MultiHeadAttention(dim, num_heads, qkv_bias=qkv_bias, rngs=rngs)
        self.norm2 = LayerNorm(dim, eps=ln_eps, rngs=rngs)
        self.mlp = Mlp(dim, mlp_dim, gelu=gelu, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B S E"], *, only_cls: bool = False, intermediates: Intermediates | None = None
    ) -> Float[Array, "B s E"]:
        """All tokens, or with `only_cls` the first token alone (s = 1): the same numbers, without the others' work.

        Intermediates:
          "normed" [B, S, E], what the attention reads; "attention" [B, N, s, S].
        """
        y = keep(intermediates, "normed", self.norm1(x))
        if only_cls:
            x = x[:, :1] + self.attention.attend_one_query(y[:, :1], y, intermediates=intermediates)  # [B, 1, E]
        else:
            x = x + self.attention(y, y, intermediates=intermediates)
        return x + self.mlp(self.norm2(x))


class PViT(nnx.Module):
    """The class token of every image after the first `blocks` blocks of a ViT.

    Args:
      size: side of the square images in pixels; fixes the number of position embeddings.
      blocks, patch, dim, num_heads, mlp_dim: sizes; ViT-B/16 is (5 of 12), 16, 768, 12, 3072.
      gelu: "exact" (erf), "tanh" or "quick".
      ln_eps: LayerNorm eps.
      qkv_bias: whether queries, keys and values have biases.
      pre_norm: a LayerNorm before the first block, as CLIP has.
      final_norm: a LayerNorm after the last block.
      output: "class", the class token; "class+mean", the mean of the patches' tokens beside it, 2E channels.
      precision: of all products.
      remat: keep only the blocks' inputs for the gradient.
    """

    def __init__(
        self,
        size: int,
        blocks: int,
        patch: int,
        dim: int,
        num_heads: int,
        mlp_dim: int,
        *,
        gelu: str,
        ln_eps: float,
        qkv_bias: bool = True,
        pre_norm: bool = False,
        final_norm: bool = False,
        output: FrameOutput = "class",
        precision: Precision = "float32",
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        tokens = (size // patch) ** 2 + 1
        self.patches = PatchEmbedding(patch, dim, rngs=rngs)
        self.cls = nnx.Param(jnp.zeros((1, 1, dim), jnp.float32))
        self.positions = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, tokens, dim), jnp.float32))
        self.blocks = nnx.List(
            [
                ViTBlock(dim, num_heads, mlp_dim, gelu=gelu, ln_eps=ln_eps, qkv_bias=qkv_bias, rngs=rngs)
                for _ in range(blocks)
            ]
        )
        self.pre_norm: LayerNorm | None = nnx.data(LayerNorm(dim, eps=ln_eps, rngs=rngs) if pre_norm else None)
        self.norm: LayerNorm | None = nnx.data(LayerNorm(dim, eps=ln_eps, rngs=rngs) if final_norm else None)
        self.output: FrameOutput = output
        self.precision: Precision = precision
        self.remat = remat

    @as_chosen
    def embed(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B s E"]:
        """The class token and the patches, row by row from the upper left, as the first block takes them: s = 1+S."""
        x = self.patches(images).astype(accumulation_dtype(images))  # [B, S, E]
        cls = jnp.broadcast_to(self.cls[...], (x.shape[0], 1, x.shape[2]))
        x = jnp.concatenate([cls, x], axis=1) + self.positions[...]  # [B, 1+S, E]
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        return x.astype(images.dtype)

    @as_chosen
    def __call__(
        self, images: Float[Array, "B H W 3"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B D"]:
        """The class token of each image, [B, E], or with the patches' mean beside it, [B, 2*E].

        Intermediates:
          "blocks/i/..." of `ViTBlock`; where the class token alone is put out, the attention of the last one is that
          token's, [B, N, 1, 1+S].
        """
        x = self.embed(images)  # [B, 1+S, E]
        remat = self.remat and intermediates is None  # nothing else can leave a part that is computed again
        last = len(self.blocks) - 1
        for i, block in enumerate(self.blocks):  # no scan: it would keep more for the gradient, and compiles no faster
            only_cls = i == last and self.output == "class"
            options = {"only_cls": only_cls, "intermediates": within(intermediates, f"blocks/{i}")}
            x = scan_blocks(functools.partial(ViTBlock.__call__, **options), [block], x, remat=remat)
        if self.norm is not None:
            x = self.norm(x)
        if self.output == "class":
            return x[:, 0]  # [B, E]
        mean = x[:, 1:].mean(axis=1, dtype=accumulation_dtype(x)).astype(x.dtype)
        return jnp.concatenate([x[:, 0], mean], axis=-1)  # [B, 2*E]
