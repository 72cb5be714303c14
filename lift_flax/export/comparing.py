"""What an exported run is compared by: random clips, and the answers of both."""

import contextlib

import jax
import numpy as np

from lift_flax.config import Config
from lift_flax.predict.inference import input_shapes

HostArrays = dict[str, np.ndarray]  # inputs or answers by name
CLIPS = 2  # random clips to compare on


def on_cpu() -> contextlib.AbstractContextManager:
    """Within it JAX computes on a CPU, because other devices round products by default."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def differences(answers: HostArrays, expected: dict[str, jax.Array] | HostArrays) -> dict[str, float]:
    """The largest difference of each answer, relative to the largest number expected in it."""
    if answers.keys() != expected.keys():
        raise RuntimeError(f"the exported file answers {sorted(answers)}, the network {sorted(expected)}")
    return {
        name: float(np.abs(answers[name] - np.asarray(value)).max() / np.abs(value).max())
        for name, value in expected.items()
    }


def random_inputs(config: Config, seed: int = 0) -> HostArrays:
    """Coarse patterns whose brightness changes with clip and frame: of plain noise all frames would look alike."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, (t, h, w, c) in input_shapes(config).items():
        level = rng.uniform(0, 1, (CLIPS, t, 1, 1, 1))
        cells = level * rng.integers(0, 256, (CLIPS, t, 8, 8, c))  # [B, T, 8, 8, C]
        rows, columns = np.arange(h) * 8 // h, np.arange(w) * 8 // w
        inputs[name] = cells[:, :, rows][:, :, :, columns].astype(np.uint8)  # [B, T, H, W, C]
    return inputs
