"""Keeps the arrays of a package in half the bytes, and measures what that changes of the run's answers."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from lift_flax.errors import UserError
from lift_flax.export.comparing import differences, on_cpu, random_inputs
from lift_flax.predict.inference import unfolded
from lift_flax.runs.package.reading import DTYPES
from lift_flax.runs.trained import TrainedRun

FLOAT32, FLOAT16 = DTYPES
MOST = 0.01  # by which answers may differ
_DRAWS = 4  # of random clips
_LARGEST = float(np.finfo(np.float16).max)


def stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """An array as a package of `dtype` holds it.

    Of float32 only arrays of several dimensions are rounded: vectors are few, and hold the variances of norms.
    """
    rounds = dtype == FLOAT16 and array.ndim > 1 and array.dtype == np.float32
    return array.astype(np.float16) if rounds else array


def rounded(trained: TrainedRun) -> tuple[TrainedRun, dict[str, float]]:
    """The run that a package of float16 holds, and how much its answers to random clips differ.

    Returns:
      (the run, {"probabilities": the largest difference of one, "logits": of one, relative to the largest of them}).
    Raises:
      UserError: an array holds numbers that float16 has not, or one of both differs by more than `MOST`.
    """
    trees = {name: jax.tree.map(_there_and_back, getattr(trained, name)) for name in ("params", "batch_stats")}
    found = dataclasses.replace(trained, **trees)
    largest = {"probabilities": 0.0, "logits": 0.0}
    for exact, other in zip(_answers(trained), _answers(found), strict=True):
        relative = differences(other, exact)
        shares = (trained.stated(np.asarray(answers["probabilities"])) for answers in (exact, other))
        largest["probabilities"] = max(largest["probabilities"], float(np.abs(np.subtract(*shares)).max()))
        largest["logits"] = max(largest["logits"], *(relative[name] for name in relative if "logits" in name))
    if not max(largest.values()) <= MOST:
        raise UserError(
            f"float16 changes probabilities of random clips by {largest['probabilities']:.2g} and logits by "
            f"{largest['logits']:.2g} of the largest, and may change them by {MOST:g}: leave dtype=float16 out"
        )
    return found, largest


def told(largest: dict[str, float]) -> str:
    """What `rounded` found, in words."""
    return (
        f"probabilities differ by at most {largest['probabilities']:.1g}, and logits by at most "
        f"{largest['logits']:.1g} of the largest,"
    )


def _there_and_back(array: jax.Array | np.ndarray) -> np.ndarray:
    host = np.asarray(array)
    if host.ndim > 1 and host.dtype == np.float32 and not np.abs(host).max(initial=0) <= _LARGEST:
        raise UserError(f"the run holds numbers above {_LARGEST:.0f}, which float16 has not: leave dtype=float16 out")
    return stored(host, FLOAT16).astype(host.dtype)


def _answers(trained: TrainedRun) -> Iterator[dict[str, Any]]:
    program = unfolded(trained)
    for seed in range(_DRAWS):
        with on_cpu():
            yield jax.tree.map(np.asarray, program(*random_inputs(trained.config, seed).values()))
