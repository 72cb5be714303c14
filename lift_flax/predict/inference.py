"""A trained student for inference: its BatchNorms are folded into kernels, for `predict` and for `export`."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.augment.streams import clip_streams
from lift_flax.config import Config
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.models.fold_batch_norm import fold_batch_norms
from lift_flax.models.fourier import FourierEnhancement
from lift_flax.models.inputs import student_inputs, teacher_inputs
from lift_flax.models.layers.dense import accumulation_dtype
from lift_flax.models.lift_net import LiftNet
from lift_flax.models.video_resnet import VideoResNet
from lift_flax.models.vit import PViT
from lift_flax.runs.trained import TrainedRun

Inference = Callable[..., dict[str, Array]]


def input_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each input without the batch: "clip" [T,H,W,3], and "flow" [T,H,W,2] where it is used.

    All inputs are uint8.
    """
    shape = (config.data.num_frames, config.data.size, config.data.size)
    return {"clip": (*shape, 3)} | ({"flow": (*shape, 2)} if config.model.luminous.takes_flow else {})


def make_inference(trained: TrainedRun, *, fft: bool = True) -> Inference:
    """Makes a function from bytes to answers for export.  The run's arrays are constants in it.

    It includes gamma correction, resize and normalisation.  It computes in float32, whatever the run was trained in.

    Args:
      fft: False writes the Fourier transforms as products, for formats without FFTs of complex numbers.
    Returns:
      A function to be traced.  It takes the inputs of `input_shapes` in order, each uint8 [B, ...], and returns float32
      [B, K] by name: "logits" and "probabilities" of the student, "teacher_logits" if it was distilled.
    """
    config, student = _in_float32(trained).config, _folded_student(trained)
    for _, part in nnx.iter_modules(student):
        if isinstance(part, FourierEnhancement):
            part.by_products = not fft
        elif isinstance(part, (VideoResNet, PViT)):
            part.precision = "float32"

    def infer(*inputs: Array) -> dict[str, Array]:
        streams = clip_streams(dict(zip(input_shapes(config), inputs, strict=True)), config)
        return _answers(student(*student_inputs(config, streams), train=False))

    return infer


@dataclasses.dataclass(frozen=True)
class Folded:
    """A run's student without BatchNorms, in the precision of the run.

    Attributes:
      config: of the run.
      graphdef: the student without its arrays.
      arrays: of the student, on the device.  They are arguments of every program, so that the compiled programs serve
        all runs of the same shapes.
    """

    config: Config
    graphdef: Any
    arrays: Any

    def student(self, arrays: Any) -> LiftNet:
        """Returns the student with these arrays in it; to be called within jit."""
        return nnx.merge(self.graphdef, arrays)


def fold(trained: TrainedRun) -> Folded:
    """Folds a run's BatchNorms into kernels; the run keeps its own arrays."""
    graphdef, arrays = nnx.split(_folded_student(trained))
    return Folded(trained.config, graphdef, jax.device_put(nnx.to_pure_dict(arrays)))


def answers(
    folded: Folded, network: str, arrays: Any, batch: dict[str, Array]
) -> tuple[Float[Array, "B K"], Float[Array, "B E"]]:
    """Computes what `network` (student or teacher) answers to a batch of `input_shapes`; to be jitted.

    Returns:
      Its probabilities, and its embedding, float32: the mean of the student's fused tokens, or of the teacher's last
      map, before their classifiers.
    """
    streams, student = clip_streams(batch, folded.config), folded.student(arrays)
    if network == "teacher":
        teacher = student.trunk if student.teacher is None else student.teacher
        assert teacher is not None, "asked of runs that have a teacher"
        out = teacher(teacher_inputs(folded.config, streams), train=False)
        logits, features = out["logits"], out["features"]  # [B, K], [B, t, h, w, E]
    else:
        out = student(*student_inputs(folded.config, streams), train=False)
        logits, features = out[NETWORKS[network]], out["fused"]  # [B, K], [B, S, E]
    within = tuple(range(1, features.ndim - 1))
    return jax.nn.softmax(logits), features.mean(axis=within, dtype=accumulation_dtype(features))


def unfolded(trained: TrainedRun) -> Inference:
    """Makes the function of `make_inference` from the network as it was trained, to compare with."""
    trained = _in_float32(trained)

    @jax.jit
    def infer(params, batch_stats, *inputs: Array) -> dict[str, Array]:
        streams = clip_streams(dict(zip(input_shapes(trained.config), inputs, strict=True)), trained.config)
        return _answers(trained.outputs(params, batch_stats, streams)[0])

    return lambda *inputs: infer(trained.params, trained.batch_stats, *inputs)


def _folded_student(trained: TrainedRun) -> LiftNet:
    """Unrolls the levels too: without a gradient a scan saves no compile time, and stacks a copy of all parameters."""
    student = cast(LiftNet, trained.network.module(*jax.tree.map(jnp.asarray, (trained.params, trained.batch_stats))))
    fold_batch_norms(student)
    for _, part in cast(Iterable[tuple[Any, Any]], nnx.iter_modules(student)):
        if hasattr(part, "remat"):
            part.remat, part.unroll = False, True
    return student


def _answers(outputs: dict[str, Array]) -> dict[str, Array]:
    logits = {name: outputs[name] for name in NETWORKS.values() if name in outputs}
    return {**logits, "probabilities": jax.nn.softmax(outputs["logits"], axis=-1)}


def _in_float32(trained: TrainedRun) -> TrainedRun:
    """Returns the same run with trunk activations in float32."""
    config = trained.config
    return dataclasses.replace(
        trained, config=dataclasses.replace(config, train=dataclasses.replace(config.train, precision="float32"))
    )
