"""The luminous trunk and teacher: R(2+1)D, and R3D for the ablation (paper sections III-B and VI-A).

R(2+1)D agrees with the public `r2plus1d_34` of ig65m-pytorch: no pooling after the stem, an own middle width for every
convolution (torchvision shares one within a block), BatchNorm eps 1e-3.  R3D agrees with torchvision's `r3d_18`.
"""

import dataclasses

import jax
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.conv import SpatialConv, TemporalConv, VideoConv


@dataclasses.dataclass(frozen=True)
class TrunkSpec:
    """Sizes of a video ResNet: residual blocks and channels of its four stages; width and spatial stride of its stem.

    `shared_middle`: both convolutions of a block take the first one's middle width, as torchvision has it.
    """

    factorised: bool
    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    stem_middle: int = 0
    stem_stride: int = 2
    shared_middle: bool = False


TRUNKS = {
    "r2plus1d_34": TrunkSpec(True, (3, 4, 6, 3), (64, 128, 256, 512), 45),
    "r2plus1d_18": TrunkSpec(True, (2, 2, 2, 2), (64, 128, 256, 512), 45, shared_middle=True),
    "r2plus1d_tiny": TrunkSpec(True, (1, 1, 1, 1), (16, 32, 64, 128), 16, stem_stride=4),
    "r3d_34": TrunkSpec(False, (3, 4, 6, 3), (64, 128, 256, 512)),
    "r3d_18": TrunkSpec(False, (2, 2, 2, 2), (64, 128, 256, 512)),
    "r3d_tiny": TrunkSpec(False, (1, 1, 1, 1), (16, 32, 64, 128), stem_stride=4),
}


@dataclasses.dataclass(frozen=True)
class NormSpec:
    """BatchNorm settings; `momentum` in Flax's convention (running = momentum * running + (1 - momentum) * batch)."""

    eps: float = 1e-3
    momentum: float = 0.9

    def make(self, features: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
        return nnx.BatchNorm(features, epsilon=self.eps, momentum=self.momentum, rngs=rngs)


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
        x = jax.nn.relu(self.norm(x, use_running_average=not train))
        return self.temporal(x)  # [B, t, h, w, O]


class FullConv(nnx.Module):
    """One (3,k,k) convolution.  `strides` are (time, space)."""

    def __init__(self, inputs: int, outputs: int, *, size: int, strides: tuple[int, int], rngs: nnx.Rngs):
        self.conv = VideoConv(inputs, outputs, sizes=(3, size), strides=strides, rngs=rngs)

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        del train  # nothing in it depends on it
        return self.conv(x)


class Shortcut(nnx.Module):
    """(1,1,1) convolution and BatchNorm where a block changes shape."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: NormSpec, rngs: nnx.Rngs):
        self.conv = SpatialConv(inputs, outputs, size=1, stride=stride, rngs=rngs)
        self.norm = norm.make(outputs, rngs)
        self.stride = stride

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        x = self.conv(x[:, :: self.stride])  # [B, t, h, w, O]
        return self.norm(x, use_running_average=not train)


class ResidualBlock(nnx.Module):
    """Two convolutions with BatchNorm, and the way around them."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, spec: TrunkSpec, norm: NormSpec, rngs: nnx.Rngs):
        def conv(channels, step):
            if spec.factorised:
                middle = middle_width(inputs if spec.shared_middle else channels, outputs)
                return FactorisedConv(channels, middle, outputs, size=3, strides=(step, step), norm=norm, rngs=rngs)
            return FullConv(channels, outputs, size=3, strides=(step, step), rngs=rngs)

        self.conv1, self.norm1 = conv(inputs, stride), norm.make(outputs, rngs)
        self.conv2, self.norm2 = conv(outputs, 1), norm.make(outputs, rngs)
        changes = stride != 1 or inputs != outputs
        self.shortcut = Shortcut(inputs, outputs, stride=stride, norm=norm, rngs=rngs) if changes else None

    def __call__(self, x: Float[Array, "B T H W I"], *, train: bool) -> Float[Array, "B t h w O"]:
        y = self.conv1(x, train=train)  # [B, t, h, w, O]
        y = jax.nn.relu(self.norm1(y, use_running_average=not train))
        y = self.conv2(y, train=train)
        y = self.norm2(y, use_running_average=not train)
        if self.shortcut is not None:
            x = self.shortcut(x, train=train)  # [B, t, h, w, O]
        return jax.nn.relu(x + y)


class VideoResNet(nnx.Module):
    """The whole network: stem, four stages, mean over time and space, classifier.

    Args:
      spec: sizes, from `TRUNKS`.
      num_classes: K.
      norm: BatchNorm settings.
    """

    def __init__(self, spec: TrunkSpec, num_classes: int, *, norm: NormSpec, rngs: nnx.Rngs):
        width, strides = spec.widths[0], (1, spec.stem_stride)
        if spec.factorised:
            self.stem = FactorisedConv(3, spec.stem_middle, width, size=7, strides=strides, norm=norm, rngs=rngs)
        else:
            self.stem = FullConv(3, width, size=7, strides=strides, rngs=rngs)
        self.stem_norm = norm.make(width, rngs)
        inputs = (width, *spec.widths[:-1])
        for stage in range(4):
            blocks = [
                ResidualBlock(
                    inputs[stage] if i == 0 else spec.widths[stage],
                    spec.widths[stage],
                    stride=2 if i == 0 and stage > 0 else 1,
                    spec=spec,
                    norm=norm,
                    rngs=rngs,
                )
                for i in range(spec.blocks[stage])
            ]
            setattr(self, f"layer{stage + 1}", nnx.List(blocks))
        fc_init = jax.nn.initializers.normal(0.01)
        self.fc = nnx.Linear(spec.widths[-1], num_classes, kernel_init=fc_init, rngs=rngs)

    def __call__(self, clip: Float[Array, "B T H W 3"], *, train: bool) -> dict[str, Array]:
        """Classifies normalised clips.

        Returns:
          "logits" [B, K] and "features" [B, t, h, w, E], the last stage's map: t = ceil(T/8), h = ceil(H/16)
          (H/32 for the tiny ones).
        """
        x = self.stem(clip, train=train)  # [B, T, H/2, W/2, C] (H/4 for the tiny ones)
        x = jax.nn.relu(self.stem_norm(x, use_running_average=not train))
        for block in (*self.layer1, *self.layer2, *self.layer3, *self.layer4):
            x = block(x, train=train)  # stages 2 to 4 halve time and space
        return {"logits": self.fc(x.mean(axis=(1, 2, 3))), "features": x}
