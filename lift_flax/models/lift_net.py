"""LIFT-Net, the student: two trunks, N levels of fusion, one head (paper section III, Fig. 2).

The trunks compute in the precision that they are given.  What follows them is float32 always, its products too: it is a
hundredth of the work, and the levels enlarge rounding where the frames of a clip hardly differ.
"""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.fusion import LN_EPS, Level
from lift_flax.models.intermediates import Intermediates, keep, within
from lift_flax.models.layers.dense import Linear, accumulation_dtype, gelu
from lift_flax.models.layers.norm import BatchNorm, LayerNorm, Norm
from lift_flax.models.layers.precision import exact
from lift_flax.models.layers.scan_blocks import scan_blocks
from lift_flax.models.video_resnet import VideoResNet
from lift_flax.models.vit import PViT


def pooling_matrix(outputs: int, inputs: int) -> Float[np.ndarray, "outputs inputs"]:
    """PyTorch's adaptive average pooling of one axis, as a matrix.

    Output k is the mean over inputs floor(k*I/O) to ceil((k+1)*I/O) - 1; windows overlap where O does not divide I.
    """
    matrix = np.zeros((outputs, inputs), np.float32)
    for k in range(outputs):
        start, end = k * inputs // outputs, math.ceil((k + 1) * inputs / outputs)
        matrix[k, start:end] = 1 / (end - start)
    return matrix


Tokens = Literal["frames", "steps", "places"]


def luminous_tokens(
    features: Float[Array, "B t h w E"], frames: int, tokens: Tokens = "frames"
) -> Float[Array, "B S E"]:
    """The trunk's map as float32 tokens.

    Args:
      tokens: "frames", as many as the clip has, by adaptive average pooling to (frames, 1, 1); "steps", one for each
        step of time that the map has; "places", one for each of its places, step by step and row by row.
    """
    if tokens == "places":
        b, t, h, w, e = features.shape
        return features.reshape(b, t * h * w, e).astype(accumulation_dtype(features))
    x = features.mean(axis=(2, 3), dtype=accumulation_dtype(features))  # [B, t, E]
    if tokens == "steps":
        return x
    return jnp.einsum("St,BtE->BSE", pooling_matrix(frames, x.shape[1]), x)  # [B, S, E]


class MainStream(nnx.Module):
    """Dark frames to tokens: the shared PViT on each frame, then Linear and LayerNorm to E channels, in float32.

    NOTE(paper): the "MLP" before the LIFT module is one Linear.  Positions along time are added later (`Positions`).
    """

    def __init__(self, pvit: PViT, pvit_dim: int, dim: int, *, rngs: nnx.Rngs):
        self.pvit = pvit
        self.project = Linear(pvit_dim, dim, rngs=rngs)
        self.norm = LayerNorm(dim, eps=LN_EPS, rngs=rngs)

    def __call__(
        self, dark: Float[Array, "B T H W 3"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B T E"]:
        """Intermediates: those of `PViT` with "pvit/" before; its images are the frames, B*T of them."""
        return self.tokens(self.features(dark, intermediates=intermediates))

    def features(
        self, dark: Float[Array, "B T H W 3"], *, intermediates: Intermediates | None = None
    ) -> Float[Array, "B T D"]:
        """What the PViT makes of each frame; intermediates as above."""
        b, t = dark.shape[:2]
        with jax.named_scope("pvit"):
            x = self.pvit(dark.reshape(b * t, *dark.shape[2:]), intermediates=within(intermediates, "pvit"))  # [B*T, D]
        return x.reshape(b, t, -1)

    @exact
    def tokens(self, x: Float[Array, "B T D"]) -> Float[Array, "B T E"]:
        """Class tokens of the PViT, mapped to E channels."""
        with jax.named_scope("project"):
            return self.norm(self.project(x.astype(accumulation_dtype(x))))  # [B, T, E]


class Positions(nnx.Module):
    """A learnt vector for each place in time of each stream, by the stream's name."""

    def __init__(self, counts: dict[str, int], dim: int, *, rngs: nnx.Rngs):
        for stream, count in counts.items():
            setattr(self, stream, nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, count, dim), jnp.float32)))

    def add_to(self, stream: str, tokens: Float[Array, "B S E"]) -> Float[Array, "B S E"]:
        """Returns the tokens of `stream` with their positions."""
        return tokens + jnp.broadcast_to(getattr(self, stream)[...], tokens.shape)


class Head(nnx.Module):
    """Mean over tokens, Linear, GELU, BatchNorm, Linear.

    Args:
      pool: "mean", or "attention": a mean by the softmax of each token's product with a learnt vector, which is the
        plain mean at the start.
    """

    def __init__(self, dim: int, num_classes: int, *, pool: Literal["mean", "attention"] = "mean", rngs: nnx.Rngs):
        self.query = nnx.data(None)
        if pool == "attention":
            self.query = nnx.Param(jnp.zeros((dim,), jnp.float32))
        self.fc1 = Linear(dim, dim, rngs=rngs)
        self.norm: Norm = BatchNorm(dim, eps=1e-5, momentum=0.9, rngs=rngs)
        self.fc2 = Linear(dim, num_classes, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B S E"], *, train: bool, intermediates: Intermediates | None = None
    ) -> Float[Array, "B K"]:
        """Intermediates: "shares" [B, S], of each token in the mean (only with attention)."""
        if self.query is None:
            x = x.mean(axis=1)  # [B, E]
        else:
            shares = jax.nn.softmax(x @ self.query[...] / math.sqrt(x.shape[-1]), axis=1)  # [B, S]
            x = jnp.einsum("BS,BSE->BE", keep(intermediates, "shares", shares), x)
        x = gelu(self.fc1(x))  # [B, E]
        return self.fc2(self.norm(x, train=train))  # [B, K]


Output = Literal["levels", "late", "levels+late"]


class LiftNet(nnx.Module):
    """The whole student.

    Args:
      trunk: the R(2+1)D of the luminous stream; None with `streams` = main and no distillation.
      main: the main stream; None with `streams` = luminous.
      levels: N fusion levels of width E; without any, "fused" are the tokens of the main stream.
      head: the classifier of the fused tokens.
      main_head, luminous_head: classifiers of either stream's tokens; None where nothing reads them.  Without levels
        `head` is that of the main stream.
      output: "levels", the logits of `head`; "late", its sum with those of `luminous_head`, without levels;
        "levels+late", the sum of all three.
      teacher: a separate frozen copy of the trunk that gives the teacher's logits; None where the trunk itself does
        (it is frozen and equal to the teacher, so one forward gives both) or where nothing is distilled.
      streams: both | main | luminous.  NOTE(paper): single streams are an addition of ours.  The stream that is left
        out is replaced by the other one's tokens, so that depth and parameters of the levels stay the same.
      positions: of the tokens of both streams; None adds none.
      tokens: what `luminous_tokens` makes of the trunk's map.
      trunk_trains: whether the trunk's BatchNorm follows the batch when training (the trunk is then trained too).
      remat: keep only the levels' inputs for the gradient.

    Its attribute `unroll` is None: on a CPU the levels run one by one, elsewhere in a scan; True or False decides.
    """

    def __init__(
        self,
        trunk: VideoResNet | None,
        main: MainStream | None,
        levels: list[Level],
        head: Head,
        *,
        main_head: Head | None = None,
        luminous_head: Head | None = None,
        teacher: VideoResNet | None,
        output: Output = "levels",
        positions: Positions | None = None,
        streams: str,
        tokens: Tokens = "frames",
        trunk_trains: bool,
        remat: bool = False,
    ):
        self.trunk, self.main, self.levels, self.head = trunk, main, nnx.List(levels), head
        self.teacher, self.streams, self.trunk_trains, self.remat = teacher, streams, trunk_trains, remat
        self.positions: Positions | None = nnx.data(positions)
        self.tokens: Tokens = tokens
        self.main_head: Head | None = nnx.data(main_head)
        self.luminous_head: Head | None = nnx.data(luminous_head)
        self.output: Output = output
        self.unroll = None

    def __call__(
        self,
        dark: Float[Array, "B T H W 3"],
        luminous: Float[Array, "B T h w C"],
        *,
        train: bool,
        intermediates: Intermediates | None = None,
    ) -> dict[str, Array]:
        """Classifies normalised clips; their dtype is that of the activations in the trunks.

        Returns:
          "logits" [B, K], the paper's h2; "teacher_logits" [B, K], its h1 (absent where nothing is distilled);
          "main_logits" [B, K] of the main stream's own head, where it has one;
          "main_tokens" [B, T, E] and "luminous_tokens" [B, S, E] before positions and levels; "fused" [B, S, E] after
          the last level.  All are float32.
        Intermediates:
          "main/pvit/..." of `PViT`, "trunk/..." of `VideoResNet`, "levels/i/..." of `Level`, "head/..." of `Head`, and
          "fused", as above.
        """
        main = None
        if self.main is not None:
            main = self.main(dark, intermediates=within(intermediates, "main"))
        return self.from_tokens(main, luminous, train=train, intermediates=intermediates)

    def from_features(
        self, features: Float[Array, "B T D"], luminous: Float[Array, "B T h w C"], *, train: bool
    ) -> dict[str, Array]:
        """Computes the outputs of `__call__` from what the PViT made of the frames."""
        assert self.main is not None
        return self.from_tokens(self.main.tokens(features), luminous, train=train)

    @exact
    def from_tokens(
        self,
        main: Float[Array, "B T E"] | None,
        luminous: Float[Array, "B T h w C"],
        *,
        train: bool,
        intermediates: Intermediates | None = None,
    ) -> dict[str, Array]:
        """Computes the outputs of `__call__` from the tokens of the main stream; None where that is left out."""
        out = self.luminous_stream(luminous, train=train, intermediates=intermediates)
        if main is not None:
            out["main_tokens"] = main
        tokens = {"main": main, "luminous": out.get("luminous_tokens")}
        if self.positions is not None:
            placed = {stream: self.positions.add_to(stream, x) for stream, x in tokens.items() if x is not None}
            tokens |= placed
        fused = self.fuse(*first_streams(tokens["main"], tokens["luminous"]), intermediates=intermediates)
        out["fused"] = keep(intermediates, "fused", fused)
        with jax.named_scope("head"):
            logits = self.head(out["fused"], train=train, intermediates=within(intermediates, "head"))
            if self.output == "late":  # without levels the head reads the main stream
                out["main_logits"] = logits
            if self.main_head is not None:
                out["main_logits"] = self.main_head(tokens["main"], train=train)
            if self.luminous_head is not None:
                logits = logits + self.luminous_head(tokens["luminous"], train=train)
            out["logits"] = logits + out["main_logits"] if self.output == "levels+late" else logits
        return out

    @exact
    def luminous_stream(
        self, luminous: Float[Array, "B T h w C"], *, train: bool, intermediates: Intermediates | None = None
    ) -> dict[str, Array]:
        """Computes what needs the luminous clip alone: "teacher_logits" and "luminous_tokens", where there are any."""
        out = {}
        trunk: dict[str, Array] = {}
        if self.trunk is not None:
            with jax.named_scope("trunk"):
                trunk = self.trunk(
                    luminous, train=train and self.trunk_trains, intermediates=within(intermediates, "trunk")
                )
            if not self.trunk_trains:  # then it still is the teacher
                out["teacher_logits"] = trunk["logits"]
        if self.teacher is not None:
            with jax.named_scope("teacher"):
                out["teacher_logits"] = self.teacher(luminous, train=False)["logits"]
        if self.streams != "main":
            out["luminous_tokens"] = luminous_tokens(trunk["features"], luminous.shape[1], self.tokens)
        return out

    @exact
    def fuse(
        self,
        main: Float[Array, "B T E"],
        luminous: Float[Array, "B S E"],
        *,
        intermediates: Intermediates | None = None,
    ) -> Float[Array, "B S E"]:
        """Runs the levels one after the other and returns the main stream after the last."""
        with jax.named_scope("levels"):
            if intermediates is not None:  # which cannot leave a scan, or a part that is computed again
                for i, level in enumerate(self.levels):
                    main, luminous = level(main, luminous, intermediates=within(intermediates, f"levels/{i}"))
                return main
            run = functools.partial(scan_blocks, lambda level, both: level(*both), remat=self.remat, unroll=self.unroll)
            levels = list(self.levels)
            both = (main, luminous)
            if main.shape != luminous.shape:  # the first level gives the main stream as many tokens as the other
                both = run(levels[:1], both)
                levels = levels[1:]
            return run(levels, both)[0]


def first_streams(main: Array | None, luminous: Array | None) -> tuple[Array, Array]:
    """(main, luminous) as the first level takes them: a stream that is left out is replaced by the other one."""
    if main is None or luminous is None:
        one = luminous if main is None else main
        assert one is not None  # a network has one stream at least
        return one, one
    return main, luminous
