"""Converted weights, and the folder that keeps them: weights.npz, weights.json, table.txt."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.errors import UserError, system_reason
from lift_flax.files import replacing, write_text

ARRAYS, FACTS, TABLE = "weights.npz", "weights.json", "table.txt"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One of our parameters and the tensor it comes from."""

    ours: str
    theirs: str
    stage: str


@dataclasses.dataclass(frozen=True)
class ConvertedWeights:
    """Weights under our names, with an account of every tensor.

    Attributes:
      kind: "r2plus1d" (any video ResNet) or "vit".
      arrays: "params/..." and "batch_stats/..." -> values; views of the source where possible.
      entries: which tensor filled which parameter.
      ignored: tensor -> why it is not used.
      new: parameter -> why no tensor fills it; it starts from random values.
      facts: settings that the weights need; see `weights.json` in docs/weights.md.
    """

    kind: str
    arrays: dict[str, np.ndarray]
    entries: list[Entry]
    ignored: dict[str, str]
    new: dict[str, str]
    facts: dict[str, Any]


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raises UserError where `folder` already holds weights or other files."""
    if (folder / FACTS).exists():
        if not overwrite:
            raise UserError(f"{folder} already holds weights: choose another --out, or replace them with --overwrite")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty and holds no converted weights: choose another --out")


def save(weights: ConvertedWeights, table: str, folder: Path) -> None:
    """Writes the folder, its facts last.  Raises UserError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / ARRAYS) as part:
            # One array after the other: views of a mapped file are not loaded at once.  None is called allow_pickle.
            np.savez(part, **weights.arrays)  # pyright: ignore[reportArgumentType]
            (folder / FACTS).unlink(missing_ok=True)
        write_text(folder / TABLE, table)
        write_text(folder / FACTS, json.dumps({"kind": weights.kind, **weights.facts}, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {system_reason(error)}; choose another --out") from error


def load_facts(folder: Path) -> dict[str, Any]:
    """weights.json of a converted folder.  Raises UserError where there is none."""
    path = folder / FACTS
    if not path.is_file():
        raise UserError(
            f"{folder} is no folder of converted weights (it lacks {FACTS}): make one with `lift-flax weights convert`"
        )
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): convert the weights again") from error


def load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Arrays of a converted folder.  Raises UserError where the file is missing or damaged."""
    path = folder / ARRAYS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise UserError(f"{path} is missing or damaged ({error}): convert the weights again") from error
