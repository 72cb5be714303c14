"""Inputs of the networks: from uint8 streams to normalised floats, and the forward pass of each phase."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from lift_flax.config import Config
from lift_flax.models.functional import Network, Tree

Streams = dict[str, Array]  # dark [B,T,H,W,3] and luminous [B,T,h,w,3] uint8, targets [B,K], weight [B]


def normalise(
    clip: UInt8[Array, "*dims 3"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "*dims 3"]:
    """Levels 0 to 255 to the zero-mean floats a trunk was trained on: (clip / 255 - mean) / std."""
    mean_of, std_of = (jnp.broadcast_to(jnp.array(values), clip.shape) for values in (mean, std))
    return (clip.astype(jnp.float32) / 255 - mean_of) / std_of


def teacher_outputs(network: Network, config: Config, params: Tree, stats: Tree, streams: Streams, *, train: bool):
    """(outputs, new statistics) of the teacher on a batch's luminous streams."""
    return network.apply(params, stats, teacher_inputs(config, streams), train=train)


def student_outputs(network: Network, config: Config, params: Tree, stats: Tree, streams: Streams, *, train: bool):
    """(outputs, new statistics) of the student on a batch's dark and luminous streams."""
    return network.apply(params, stats, *student_inputs(config, streams), train=train)


def student_inputs(config: Config, streams: Streams) -> tuple[Float[Array, "B T H W 3"], Float[Array, "B T h w 3"]]:
    """(dark, luminous) clips as the student takes them: normalised, in the dtype of its trunks."""
    return main_inputs(config, streams), teacher_inputs(config, streams)


def luminous_statistics(config: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) of the R(2+1)D's input by channel: of its frames, or of coded flow."""
    teacher, luminous = config.model.teacher, config.model.luminous
    if luminous.input == "flow":
        return (luminous.flow_mean,) * 3, (luminous.flow_std,) * 3
    return teacher.mean, teacher.std


def main_inputs(config: Config, streams: Streams) -> Float[Array, "B T H W 3"]:
    """Dark clips as the main stream takes them: normalised, in the dtype of the trunks."""
    return normalise(streams["dark"], config.model.pvit.mean, config.model.pvit.std).astype(config.train.dtype)


def teacher_inputs(config: Config, streams: Streams) -> Float[Array, "B T h w 3"]:
    """Luminous clips as the R(2+1)D takes them: normalised, in the dtype of the trunks."""
    return normalise(streams["luminous"], *luminous_statistics(config)).astype(config.train.dtype)
