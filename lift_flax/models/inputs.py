"""Inputs of the networks: from uint8 streams to normalised floats, and the forward pass of each phase."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from lift_flax.config import Config
from lift_flax.models.functional import Network, Tree
from lift_flax.models.lift_net import LiftNet
from lift_flax.video.gamma import LUMA

# dark [B,T,H,W,3] and luminous [B,T,h,w,C] uint8, targets [B,K], weight [B]; where it is read, lit [B,T,H,W,3] uint8;
# where the ViT is computed by itself, main_features [B,T,D]
Streams = dict[str, Array]


def activation_dtype(config: Config) -> str:
    """Returns the dtype of activations in the trunks."""
    return "bfloat16" if config.train.precision == "bfloat16" else "float32"


def normalise(
    clip: UInt8[Array, "*dims C"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "*dims C"]:
    """Levels 0 to 255 to the zero-mean floats a trunk was trained on: (clip / 255 - mean) / std."""
    mean_of, std_of = (jnp.broadcast_to(jnp.array(values), clip.shape) for values in (mean, std))
    return (clip.astype(jnp.float32) / 255 - mean_of) / std_of


def teacher_outputs(network: Network, config: Config, params: Tree, stats: Tree, streams: Streams, *, train: bool):
    """(outputs, new statistics) of the teacher on a batch's luminous streams."""
    return network.apply(params, stats, teacher_inputs(config, streams), train=train)


def student_outputs(network: Network, config: Config, params: Tree, stats: Tree, streams: Streams, *, train: bool):
    """(outputs, new statistics) of the student on a batch's dark and luminous streams.

    Where the streams hold "main_features", the ViT is not computed again; without a main stream "dark" may be missing.
    """
    if config.model.streams == "luminous":
        inputs = None, teacher_inputs(config, streams)
        return network.apply(params, stats, *inputs, train=train, method="from_tokens")
    if "main_features" in streams:
        inputs = streams["main_features"], teacher_inputs(config, streams)
        return network.apply(params, stats, *inputs, train=train, method="from_features")
    return network.apply(params, stats, *student_inputs(config, streams), train=train)


def main_features(network: Network, config: Config, params: Tree, stats: Tree, streams: Streams):
    """What the ViT of the student makes of a batch's frames, float32 [B,T,D]."""
    student = network.module(params, stats)
    assert isinstance(student, LiftNet) and student.main is not None
    return student.main.features(main_inputs(config, streams)).astype(jnp.float32)


def student_inputs(config: Config, streams: Streams) -> tuple[Float[Array, "B T H W 3"], Float[Array, "B T h w C"]]:
    """(dark, luminous) clips as the student takes them: normalised, in the dtype of its trunks."""
    return main_inputs(config, streams), teacher_inputs(config, streams)


def luminous_statistics(config: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) of the R(2+1)D's input by channel: of its frames, of coded flow, or of both."""
    teacher, luminous = config.model.teacher, config.model.luminous
    mean, std = (luminous.flow_mean,), (luminous.flow_std,)
    if luminous.input == "flow":
        return mean * 3, std * 3
    if luminous.input == "both":
        return teacher.mean + mean * 2, teacher.std + std * 2
    return teacher.mean, teacher.std


def motion(lit: UInt8[Array, "B T H W 3"]) -> Float[Array, "B T H W 3"]:
    """Lit frames as grey level, change to the next and change from the last frame, all of about unit size.

    Where there is no next or last frame there is no change.
    """
    grey = jnp.dot(lit.astype(jnp.float32), jnp.array(LUMA), precision="highest") / 255  # [B, T, H, W]
    change = jnp.diff(grey, axis=1)  # [B, T-1, H, W]
    none = jnp.zeros_like(grey[:, :1])
    ahead, behind = jnp.concatenate([change, none], axis=1), jnp.concatenate([none, change], axis=1)
    return jnp.stack([3 * (grey - 0.3), 6 * ahead, 6 * behind], axis=-1)


def main_inputs(config: Config, streams: Streams) -> Float[Array, "B T H W 3"]:
    """Clips as the main stream takes them: normalised frames, or `motion`, in the dtype of the trunks."""
    if config.model.main_is_lit and config.model.main_input == "motion":
        return motion(streams["lit"]).astype(activation_dtype(config))
    frames = streams["lit" if config.model.main_is_lit else "dark"]
    return normalise(frames, config.model.pvit.mean, config.model.pvit.std).astype(activation_dtype(config))


def teacher_inputs(config: Config, streams: Streams) -> Float[Array, "B T h w C"]:
    """Luminous clips as the R(2+1)D takes them: normalised, or `motion`, in the dtype of the trunks."""
    if config.model.luminous.input == "motion":
        return motion(streams["luminous"]).astype(activation_dtype(config))
    return normalise(streams["luminous"], *luminous_statistics(config)).astype(activation_dtype(config))
