"""Folds BatchNorm into kernels: changes a trained network into an equal one that computes less.

With its running statistics a BatchNorm is y * scale + shift in every channel.  After a convolution the scale goes into
the convolution's kernel and the shift is added as its bias; before a linear map both go into the map.
"""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.models.layers.dense import add_bias
from lift_flax.models.layers.norm import BatchNorm, Norm
from lift_flax.models.layers.video_conv import SpatialConv, TemporalConv, VideoConv
from lift_flax.models.lift_net import Head
from lift_flax.models.video_resnet import FactorisedConv, FullConv, ResidualBlock, Shortcut, VideoResNet


class Shift(nnx.Module):
    """The rest of a folded BatchNorm: x + bias, or x alone."""

    def __init__(self, bias: Float[np.ndarray, "C"] | None):
        self.bias = nnx.data(None if bias is None else _param(bias))

    def __call__(self, x: Float[Array, "*rows C"], *, train: bool) -> Float[Array, "*rows C"]:
        del train  # a folded network is not trained
        return x if self.bias is None else add_bias(x, self.bias[...])


def fold_batch_norms(network: nnx.Module) -> None:
    """Removes every BatchNorm from `network`, a LIFT-Net or a part of it, in place; sums are float64."""
    for _, module in list(nnx.iter_modules(network)):
        match module:
            case FactorisedConv():
                module.norm = _into_kernel_before(module.spatial, module.norm)
            case Shortcut():
                module.norm = _into_kernel_before(module.conv, module.norm)
            case ResidualBlock():
                module.norm1 = _into_kernel_before(_last_of(module.conv1), module.norm1)
                module.norm2 = _into_kernel_before(_last_of(module.conv2), module.norm2)
            case VideoResNet():
                module.stem_norm = _into_kernel_before(_last_of(module.stem), module.stem_norm)
            case Head():
                module.norm = _into_linear_after(module.norm, module.fc2)


def _last_of(conv: FactorisedConv | FullConv) -> TemporalConv | VideoConv:
    return conv.temporal if isinstance(conv, FactorisedConv) else conv.conv


def _into_kernel_before(conv: SpatialConv | TemporalConv | VideoConv, norm: Norm) -> Shift:
    scale, shift = _scale_and_shift(norm)
    conv.kernel = _param(np.asarray(conv.kernel[...], np.float64) * scale)  # [kh, kw, I, O]
    return Shift(shift)


def _into_linear_after(norm: Norm, linear) -> Shift:
    scale, shift = _scale_and_shift(norm)
    kernel = np.asarray(linear.kernel[...], np.float64)  # [I, O]
    linear.kernel = _param(kernel * scale[:, None])
    linear.bias = _param(np.asarray(linear.bias[...], np.float64) + shift @ kernel)
    return Shift(None)


def _scale_and_shift(norm: Norm) -> tuple[Float[np.ndarray, "C"], Float[np.ndarray, "C"]]:
    assert isinstance(norm, BatchNorm)  # nothing is folded twice
    mean, var, weight, bias = (np.asarray(a[...], np.float64) for a in (norm.mean, norm.var, norm.scale, norm.bias))
    scale = weight / np.sqrt(var + norm.eps)
    return scale, bias - mean * scale


def _param(array: np.ndarray) -> nnx.Param:
    """A new parameter: the arrays of the old one may be shared with other networks."""
    return nnx.Param(jnp.asarray(array, jnp.float32))
