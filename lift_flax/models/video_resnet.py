"""The luminous trunk and teacher: R(2+1)D, and three other video ResNets (paper sections III-B and VI-A).

R(2+1)D-34 agrees with the public `r2plus1d_34` of ig65m-pytorch: no pooling after the stem, an own middle width for
every convolution (torchvision shares one within a block), BatchNorm eps 1e-3.  `r2plus1d_18`, `r3d_18` and `mc3_18`
agree with torchvision, `hara_34` with the 3D-ResNet-34 of kenshohara/3D-ResNets-PyTorch.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.intermediates import Intermediates, keep
from lift_flax.models.layers.dense import Linear, accumulation_dtype
from lift_flax.models.layers.norm import BatchNorm, Norm
from lift_flax.models.layers.precision import Precision, as_chosen, exact
from lift_flax.models.layers.scan_blocks import scan_blocks
from lift_flax.models.layers.video_conv import SpatialConv, TemporalConv, VideoConv


@dataclasses.dataclass(frozen=True)
class TrunkSpec:
    """Sizes of a video ResNet.

    Attributes:
      convs: "2+1" factorised; "3" over time and space; "mc" (mixed) like "3" in the stem and the first stage, then
        over space alone, time kept whole.
      blocks, widths: residual blocks and channels of the four stages.
      stem_middle: channels inside a factorised stem.
      stem_frames: frames that a stem of "3" sees.
      stem_stride: of the stem, in space.
      stem_pool: a max-pool of 3x3x3, stride 2, after the stem.
      shared_middle: both convolutions of a block take the first one's middle width, as torchvision has it.
      shortcut: around blocks that change shape: a 1x1x1 convolution, or ("pad") a strided view with zero channels.
      bn_eps: of the public weights.
    """

    convs: Literal["2+1", "3", "mc"]
    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    stem_middle: int = 0
    stem_frames: int = 3
    stem_stride: int = 2
    stem_pool: bool = False
    shared_middle: bool = False
    shortcut: Literal["conv", "pad"] = "conv"
    bn_eps: float = 1e-5


STAGES = ("layer1", "layer2", "layer3", "layer4")  # in order, as attributes of VideoResNet
_WIDTHS, _TINY = (64, 128, 256, 512), (16, 32, 64, 128)
TRUNKS = {
    "r2plus1d_34": TrunkSpec("2+1", (3, 4, 6, 3), _WIDTHS, stem_middle=45, bn_eps=1e-3),
    "r2plus1d_34_shared": TrunkSpec("2+1", (3, 4, 6, 3), _WIDTHS, stem_middle=45, shared_middle=True),
    "r2plus1d_18": TrunkSpec("2+1", (2, 2, 2, 2), _WIDTHS, stem_middle=45, shared_middle=True),
    "r2plus1d_tiny": TrunkSpec("2+1", (1, 1, 1, 1), _TINY, stem_middle=16, stem_stride=4, bn_eps=1e-3),
    "r3d_34": TrunkSpec("3", (3, 4, 6, 3), _WIDTHS),
    "r3d_18": TrunkSpec("3", (2, 2, 2, 2), _WIDTHS),
    "r3d_tiny": TrunkSpec("3", (1, 1, 1, 1), _TINY, stem_stride=4),
    "mc3_18": TrunkSpec("mc", (2, 2, 2, 2), _WIDTHS),
    "hara_34": TrunkSpec("3", (3, 4, 6, 3), _WIDTHS, stem_frames=7, stem_pool=True, shortcut="pad"),
}


@dataclasses.dataclass(frozen=True)
class NormSpec:
    """BatchNorm settings; `momentum` in Flax's convention (running = momentum * running + (1 - momentum) * batch)."""

    eps: float = 1e-3
    momentum: float = 0.9

    def make(self, features: int, rngs: nnx.Rngs) -> Norm:
        return BatchNorm(features, eps=self.eps, momentum=self.momentum, rngs=rngs)


def map_shape(spec: TrunkSpec, frames: int, size: int) -> tuple[int, int, int]:
    """(t, h, w) of the last stage's map, for clips of T frames with a side of `size` pixels."""
    time = spec.stem_pool + (0 if spec.convs == "mc" else len(STAGES) - 1)  # how often each is halved
    side = -(-size // spec.stem_stride)
    for _ in range(spec.stem_pool + len(STAGES) - 1):
        side = -(-side // 2)
    for _ in range(time):
        frames = -(-frames // 2)
    return frames, side, side


def middle_width(inputs: int, outputs: int) -> int:
    """Width inside a (2+1)D convolution that gives it as many parameters as the 3x3x3 convolution it replaces."""
    return 27 * inputs * outputs // (9 * inputs + 3 * outputs)


class FactorisedConv(nnx.Module):
    """(1,k,k) convolution, BatchNorm, ReLU, (3,1,1) convolution.  `strides` are (time, space)."""

    def __init__(
        self, inputs: int, middle: int, outputs: int, *, size: int, strides: tuple[int, int], norm: NormSpec, rngs
    ):
        self.spatial = SpatialConv(inputs, middle, size=size, stride=strides[1], rngs=rngs)
        self.norm = norm.make(middle, rngs)
        self.temporal = TemporalConv(middle, outputs, size=3, stride=strides[0], rngs=rngs)

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        x = self.spatial(x)  # [B, T, h, w, middle]
        x = jax.nn.relu(self.norm(x, train=train))
        return self.temporal(x)  # [B, t, h, w, O]


class FullConv(nnx.Module):
    """One (t,k,k) convolution, `sizes` = (t, k).  `strides` are (time, space)."""

    def __init__(self, inputs: int, outputs: int, *, sizes: tuple[int, int], strides: tuple[int, int], rngs: nnx.Rngs):
        self.conv = VideoConv(inputs, outputs, sizes=sizes, strides=strides, rngs=rngs)

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        del train  # nothing in it depends on it
        return self.conv(x)


class Shortcut(nnx.Module):
    """(1,1,1) convolution and BatchNorm where a block changes shape.  `strides` are (time, space)."""

    def __init__(self, inputs: int, outputs: int, *, strides: tuple[int, int], norm: NormSpec, rngs: nnx.Rngs):
        self.conv = SpatialConv(inputs, outputs, size=1, stride=strides[1], rngs=rngs)
        self.norm = norm.make(outputs, rngs)
        self.time_stride = strides[0]

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        x = self.conv(x[:, :: self.time_stride])  # [B, t, h, w, O]
        return self.norm(x, train=train)


class PaddedShortcut(nnx.Module):
    """Every stride-th place, the new channels zero: He et al.'s parameter-free option A."""

    def __init__(self, inputs: int, outputs: int, *, strides: tuple[int, int]):
        self.new_channels, self.strides = outputs - inputs, strides

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        del train  # nothing in it depends on it
        t, s = self.strides
        return jnp.pad(x[:, ::t, ::s, ::s], ((0, 0),) * 4 + ((0, self.new_channels),))  # [B, t, h, w, O]


class ResidualBlock(nnx.Module):
    """Two convolutions with BatchNorm, and the way around them; the first convolution and the way around take `stride`.

    `over_time`: whether the convolutions see and stride over time.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, over_time: bool, spec: TrunkSpec, norm: NormSpec, rngs
    ):
        def conv(channels, step):
            if spec.convs == "2+1":
                middle = middle_width(inputs if spec.shared_middle else channels, outputs)
                return FactorisedConv(channels, middle, outputs, size=3, strides=(step, step), norm=norm, rngs=rngs)
            if over_time:
                return FullConv(channels, outputs, sizes=(3, 3), strides=(step, step), rngs=rngs)
            return FullConv(channels, outputs, sizes=(1, 3), strides=(1, step), rngs=rngs)

        self.conv1, self.norm1 = conv(inputs, stride), norm.make(outputs, rngs)
        self.conv2, self.norm2 = conv(outputs, 1), norm.make(outputs, rngs)
        strides = (stride if over_time else 1, stride)
        if stride == 1 and inputs == outputs:
            self.shortcut = None
        elif spec.shortcut == "conv":
            self.shortcut = Shortcut(inputs, outputs, strides=strides, norm=norm, rngs=rngs)
        else:
            self.shortcut = PaddedShortcut(inputs, outputs, strides=strides)

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        y = self.conv1(x, train=train)  # [B, t, h, w, O]
        y = jax.nn.relu(self.norm1(y, train=train))
        y = self.conv2(y, train=train)
        y = self.norm2(y, train=train)
        if self.shortcut is not None:
            x = self.shortcut(x, train=train)  # [B, t, h, w, O]
        return jax.nn.relu(x + y)


class VideoResNet(nnx.Module):
    """The whole network: stem, four stages, mean over time and space, classifier.

    Args:
      spec: sizes, from `TRUNKS`.
      num_classes: K; None leaves the classifier out.
      norm: BatchNorm settings.
      channels: of the clips.
      precision: of all products but the classifier's, which are float32.
      remat: keep only the residual blocks' inputs for the gradient.

    Its attribute `unroll` is None: on a CPU the blocks run one by one, elsewhere in a scan; True or False decides.
    """

    def __init__(
        self,
        spec: TrunkSpec,
        num_classes: int | None,
        *,
        norm: NormSpec,
        channels: int = 3,
        precision: Precision = "float32",
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        width, strides = spec.widths[0], (1, spec.stem_stride)
        if spec.convs == "2+1":
            self.stem = FactorisedConv(channels, spec.stem_middle, width, size=7, strides=strides, norm=norm, rngs=rngs)
        else:
            self.stem = FullConv(channels, width, sizes=(spec.stem_frames, 7), strides=strides, rngs=rngs)
        self.stem_norm, self.stem_pool = norm.make(width, rngs), spec.stem_pool
        inputs = (width, *spec.widths[:-1])
        for stage in range(4):
            blocks = [
                ResidualBlock(
                    inputs[stage] if i == 0 else spec.widths[stage],
                    spec.widths[stage],
                    stride=2 if i == 0 and stage > 0 else 1,
                    over_time=spec.convs != "mc" or stage == 0,
                    spec=spec,
                    norm=norm,
                    rngs=rngs,
                )
                for i in range(spec.blocks[stage])
            ]
            setattr(self, f"layer{stage + 1}", nnx.List(blocks))
        self.precision: Precision = precision
        self.remat, self.unroll = remat, None
        fc_init = jax.nn.initializers.normal(0.01)
        self.fc: Linear | None = nnx.data(None)
        if num_classes is not None:
            self.fc = Linear(spec.widths[-1], num_classes, kernel_init=fc_init, rngs=rngs)

    @exact
    def __call__(
        self, clip: Float[Array, "B T H W C"], *, train: bool, intermediates: Intermediates | None = None
    ) -> dict[str, Array]:
        """Classifies normalised clips; their dtype is that of all activations.

        Returns:
          "logits" [B, K], float32 always, where there is a classifier, and "features" [B, t, h, w, E], the last stage's
          map: t = ceil(T/8), h = ceil(H/16) (H/32 for the tiny ones; Hara's halve both once more; mc3 keeps t = T).
        Intermediates:
          "layer1" to "layer4" [B, t, h, w, C]: the map of each stage; layer4's is the "features".
        """
        x = self.enter(clip, train=train)  # [B, T, H/2, W/2, C] (H/4 for the tiny ones)
        for name in STAGES:
            x = self.stage(name, x, train=train)  # stages 2 to 4 halve time and space
            x = keep(intermediates, name, x)
        if self.fc is None:
            return {"features": x}
        with jax.named_scope("fc"):
            return {"logits": self.fc(x.mean(axis=(1, 2, 3), dtype=accumulation_dtype(x))), "features": x}

    @as_chosen
    def enter(self, clip: Float[Array, "B T H W C"], *, train: bool) -> Float[Array, "B t h w O"]:
        """Runs the stem, before the first stage."""
        with jax.named_scope("stem"):
            x = self.stem(clip, train=train)  # [B, T, h, w, O]
            x = jax.nn.relu(self.stem_norm(x, train=train))
            if self.stem_pool:
                edges = ((1, 1),) * 3  # which Flax takes besides names, whatever its annotation says
                # [B, T/2, H/4, W/4, O]
                x = nnx.max_pool(x, (3, 3, 3), (2, 2, 2), edges)  # pyright: ignore[reportArgumentType]
            return x

    @as_chosen
    def stage(self, name: str, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        """Runs one of `STAGES`, by name."""
        with jax.named_scope(name):
            return self._run(getattr(self, name), x, train=train)

    def _run(
        self, stage: Sequence[ResidualBlock], x: Float[Array, "B T H W I"], *, train: bool
    ) -> Float[Array, "B t h w O"]:
        alike = 0 if stage[0].shortcut is None else 1  # only a stage's first block may change the shape
        for run in (stage[:alike], stage[alike:]):
            x = scan_blocks(lambda block, x: block(x, train=train), run, x, remat=self.remat, unroll=self.unroll)
        return x
