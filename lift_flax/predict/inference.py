"""A trained run for answers alone: BatchNorms folded into kernels, as it is exported and as `predict` computes it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.augment.streams import clip_streams
from lift_flax.config import Config
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.models import inputs
from lift_flax.models.fold_batch_norm import fold_batch_norms
from lift_flax.models.fourier import FourierEnhancement
from lift_flax.models.lift_net import LiftNet
from lift_flax.runs.trained import TrainedRun

Inference = Callable[..., dict[str, Array]]


def input_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs by name, all uint8, without the batch: "clip" [T,H,W,3], and "flow" [T,H,W,2] where used."""
    shape = (config.data.num_frames, config.data.size, config.data.size)
    return {"clip": (*shape, 3)} | ({"flow": (*shape, 2)} if config.model.luminous.input == "flow" else {})


def make_inference(trained: TrainedRun, *, fft: bool = True) -> Inference:
    """A function from bytes to answers, with the run's arrays as constants in it, to be traced.

    BatchNorms are folded into kernels.  Gamma correction, resize and normalisation are part of it.  All it computes is
    float32, whatever the run was trained in.

    Args:
      fft: False writes the Fourier transforms as products, for formats without FFTs of complex numbers.
    Returns:
      A function of the inputs that `input_shapes` names, each uint8 [B, ...].  It gives float32 [B, K] by name:
      "logits" and "probabilities" of the student, and "teacher_logits" where it was distilled.
    """
    config, student = _in_float32(trained).config, _folded_student(trained)
    for _, part in nnx.iter_modules(student):
        if isinstance(part, FourierEnhancement):
            part.by_products = not fft

    def infer(*arrays: Array) -> dict[str, Array]:
        streams = clip_streams(dict(zip(input_shapes(config), arrays, strict=True)), config)
        return _answers(student(*inputs.student_inputs(config, streams), train=False))

    return infer


@dataclasses.dataclass(frozen=True)
class Folded:
    """A run's student without BatchNorms; in the run's precision.

    Attributes:
      config: of the run.
      graphdef: the student without its arrays.
      arrays: of the student, on the device: arguments of every program, which so serves all runs of its shapes.
    """

    config: Config
    graphdef: Any
    arrays: Any

    def student(self, arrays: Any) -> LiftNet:
        """The student with these arrays in it, to be called within jit."""
        return nnx.merge(self.graphdef, arrays)


def fold(trained: TrainedRun) -> Folded:
    """Folds a run's BatchNorms; the run keeps its own arrays."""
    graphdef, arrays = nnx.split(_folded_student(trained))
    return Folded(trained.config, graphdef, jax.device_put(nnx.to_pure_dict(arrays)))


def probabilities(folded: Folded, network: str, arrays: Any, batch: dict[str, Array]) -> Float[Array, "B K"]:
    """What `network` (student or teacher) answers for a batch by `input_shapes`, to be jitted."""
    views = clip_streams(batch, folded.config)
    out = folded.student(arrays)(*inputs.student_inputs(folded.config, views), train=False)
    return jax.nn.softmax(out[NETWORKS[network]])


def unfolded(trained: TrainedRun) -> Inference:
    """The function of `make_inference` with the network as it was trained, to compare with."""
    trained = _in_float32(trained)

    @jax.jit
    def infer(params, batch_stats, *inputs: Array) -> dict[str, Array]:
        views = clip_streams(dict(zip(input_shapes(trained.config), inputs, strict=True)), trained.config)
        return _answers(trained.outputs(params, batch_stats, views)[0])

    return lambda *inputs: infer(trained.params, trained.batch_stats, *inputs)


def _folded_student(trained: TrainedRun) -> LiftNet:
    """Unrolled: a scan compiles no faster where nothing is differentiated, and stacks a copy of all parameters."""
    student = trained.network.module(*jax.tree.map(jnp.asarray, (trained.params, trained.batch_stats)))
    fold_batch_norms(student)
    for _, part in nnx.iter_modules(student):
        if hasattr(part, "remat"):
            part.remat, part.unroll = False, True
    return student


def _answers(outputs: dict[str, Array]) -> dict[str, Array]:
    logits = {name: outputs[name] for name in NETWORKS.values() if name in outputs}
    return {**logits, "probabilities": jax.nn.softmax(outputs["logits"], axis=-1)}


def _in_float32(trained: TrainedRun) -> TrainedRun:
    """The same run with the activations of its trunks in float32."""
    config = trained.config
    return dataclasses.replace(
        trained, config=dataclasses.replace(config, train=dataclasses.replace(config.train, dtype="float32"))
    )
