"""Converts the PViT of a trained run to weights for other runs: pretraining on your own data."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.runs import config_file
from lift_flax.runs.checkpoints import read_best
from lift_flax.runs.workdir import phase_folder
from lift_flax.weights.converted import ConvertedWeights, Entry
from lift_flax.weights.vits.vit import SETTINGS

_MAIN = "main/pvit/"


def convert(workdir: Path) -> ConvertedWeights:
    """Takes the embeddings and all blocks of the student's main stream.

    Raises:
      UserError: the run has no trained student, or one without a main stream.
    """
    config = config_file.load(workdir / "config.json")
    params, _, step = read_best(phase_folder(workdir, "student"))
    vit_arrays = {
        name.removeprefix(_MAIN): np.asarray(a) for name, a in flatten(params).items() if name.startswith(_MAIN)
    }
    if not vit_arrays:
        raise UserError(f"{workdir} has no ViT: it was trained with config.model.streams=luminous")
    digest = hashlib.sha256()
    for name in sorted(vit_arrays):
        digest.update(name.encode() + vit_arrays[name].tobytes())
    return ConvertedWeights(
        kind="vit",
        arrays={f"params/{name}": array for name, array in vit_arrays.items()},
        entries=[Entry(f"params/{name}", _MAIN + name, _stage(name)) for name in vit_arrays],
        ignored={name: "not of the ViT" for name in flatten(params) if not name.startswith(_MAIN)},
        new={},
        facts={**_facts(config), "source": {"file": f"{workdir.name}, step {step}", "sha256": digest.hexdigest()}},
    )


def _facts(config: Config) -> dict[str, Any]:
    pvit = config.model.pvit
    names = ("blocks", "patch", "dim", "num_heads", "mlp_dim", "mean", "std", *SETTINGS)
    facts = {name: getattr(pvit, name) for name in names}
    return facts | {"grid": config.data.size // pvit.patch, "positions": "linear"}


def _stage(name: str) -> str:
    parts = name.split("/")
    return f"block {int(parts[1]) + 1}" if parts[0] == "blocks" else "embeddings"
