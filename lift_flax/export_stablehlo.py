"""A trained run as StableHLO: one file for CPUs, GPUs and TPUs that jax alone can call."""

from pathlib import Path

import jax
import numpy as np

from lift_flax.predict.inference import input_shapes, make_inference
from lift_flax.runs.trained import TrainedRun

PLATFORMS = ("cpu", "cuda", "tpu")


def make(trained: TrainedRun, facts: dict) -> bytes:
    """The serialised program; any batch size."""
    del facts  # the format has no place for them
    (batch,) = jax.export.symbolic_shape("b")
    inputs = [jax.ShapeDtypeStruct((batch, *shape), np.uint8) for shape in input_shapes(trained.config).values()]
    return bytes(jax.export.export(jax.jit(make_inference(trained)), platforms=PLATFORMS)(*inputs).serialize())


def run(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the file answers on the current device."""
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    return {name: np.asarray(found) for name, found in exported.call(*inputs.values()).items()}
