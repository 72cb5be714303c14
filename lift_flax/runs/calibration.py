"""How sure a run's answers are: the temperature and the threshold that its validation clips gave it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lift_flax.errors import UserError

_COLDEST, _HOTTEST = 0.01, 100.0  # temperatures that a calibration may have


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What the validation clips say about the probabilities of a network (lift_flax/evaluate/calibration.py).

    Attributes:
      temperature: by which its logits are divided.
      threshold: an answer of a lower probability is unsure.
      ece_before, ece_after: expected calibration error of these clips in 15 bins, without and with the temperature.
      clips: how many they are.
    """

    temperature: float
    threshold: float
    ece_before: float
    ece_after: float
    clips: int


def tempered(shares: Float[np.ndarray, "*B K"], temperature: float) -> Float[np.ndarray, "*B K"]:
    """The probabilities of logits divided by `temperature`, of those without; at 1 they are `shares` themselves.

    The likeliest class stays the likeliest.
    """
    if temperature == 1:
        return shares
    logits = np.log(np.maximum(shares, np.finfo(np.float32).tiny)) / temperature
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def calibrations(facts: Mapping[str, Any], workdir: Path) -> dict[str, Calibration]:
    """{network: its calibration} of what run.json states; empty for a run without validation clips, or an earlier one.

    Raises:
      UserError: that part of the file is damaged.
    """
    stated = facts.get("calibration") or {}
    try:
        found = {network: Calibration(**values) for network, values in stated.items() if values is not None}
        sound = all(_COLDEST <= one.temperature <= _HOTTEST and 0 <= one.threshold <= 1 for one in found.values())
    except (AttributeError, TypeError):
        sound, found = False, {}
    if not sound:
        raise UserError(
            f"{workdir / 'run.json'} is damaged (calibration): copy the workdir again, or remove that part of the file"
        )
    return found


def stated(found: Mapping[str, Calibration]) -> dict[str, dict[str, Any]] | None:
    """What run.json and results.json hold of it; None where nothing was calibrated."""
    return {network: dataclasses.asdict(one) for network, one in found.items()} or None
