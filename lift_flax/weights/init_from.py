"""Starting a part of the network from converted weights (`init_from` in the config), strictly.

The folder comes from `lift_flax.weights.convert`.  It is no checkpoint: training starts at step 0 with fresh moments.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.models.functional import Tree, flatten
from lift_flax.weights import converted, vit

Arrays = dict[str, np.ndarray]

CLASSIFIER = "params/fc/"
_TRAVEL = {"teacher": ("bn_eps", "mean", "std"), "pvit": ("gelu", "ln_eps", "qkv_bias", "mean", "std")}
_MUST_AGREE = {"teacher": ("name",), "pvit": ("patch", "dim", "num_heads", "mlp_dim")}
_KIND = {"teacher": "r2plus1d", "pvit": "vit"}


def with_facts(config: Config) -> Config:
    """`config` with what travels with its weights: BatchNorm and LayerNorm eps, GELU, qkv biases, input mean and std.

    Raises:
      UserError: a folder is not one of converted weights, or of a network of other sizes.
    """
    model = config.model
    parts = {part: _part_with_facts(part, getattr(model, part)) for part in ("teacher", "pvit")}
    return dataclasses.replace(config, model=dataclasses.replace(model, **parts))


def _part_with_facts(part: str, fields):
    if not fields.init_from:
        return fields
    folder = Path(fields.init_from).absolute()
    facts = converted.load_facts(folder)
    if facts["kind"] != _KIND[part]:
        raise UserError(f"{folder} holds a {facts['kind']}: config.model.{part}.init_from takes a {_KIND[part]}")
    differ = [name for name in _MUST_AGREE[part] if facts[name] != getattr(fields, name)]
    if differ:
        flags = " ".join(f"--config.model.{part}.{name}={facts[name]}" for name in differ)
        raise UserError(f"{folder} holds weights of another size: use them with {flags}")
    values = {name: tuple(v) if isinstance(v := facts[name], list) else v for name in _TRAVEL[part]}
    changed = {name: v for name, v in values.items() if v != getattr(fields, name)}
    if changed:
        print(f"{part}: {', '.join(f'{n} = {v}' for n, v in changed.items())}, as its weights need", flush=True)
    return dataclasses.replace(fields, init_from=str(folder), **values)


def weight_sources(config: Config) -> dict[str, str]:
    """{part: SHA-256 of the file that its weights were converted from}, for the parts that start from weights."""
    folders = {part: getattr(config.model, part).init_from for part in _KIND}
    return {part: converted.load_facts(Path(f))["source"]["sha256"] for part, f in folders.items() if f}


def init_from(path: str, part: str, params: Tree, batch_stats: Tree) -> tuple[Arrays, Arrays, str]:
    """What `part` takes from the folder at `path`, as ({path: value of a parameter}, the same of statistics, a note).

    A classifier of another size is not among them, nor ViT blocks beyond those of `part`; position embeddings are
    resized to its grid; the note says which.

    Args:
      params, batch_stats: of the part, as shapes.

    Raises:
      UserError: no such folder, or a name or shape that does not fit; names the first of them.
    """
    ours = {f"params/{k}": v for k, v in flatten(params).items()}
    ours.update({f"batch_stats/{k}": v for k, v in flatten(batch_stats).items()})
    theirs, notes = _fitted(converted.load_arrays(Path(path)), ours)
    wanted = {name: leaf for name, leaf in ours.items() if name in theirs or not name.startswith(CLASSIFIER)}
    for name, leaf in wanted.items():
        if name not in theirs:
            raise UserError(f"{path} lacks '{name}' of the {part}: is it a file for another network?")
        if theirs[name].shape != leaf.shape:
            raise UserError(f"{path}: '{name}' is {theirs[name].shape}, the {part} of this config takes {leaf.shape}")
    if unknown := sorted(set(theirs) - set(wanted)):
        raise UserError(f"{path} holds '{unknown[0]}', which the {part} of this config has not")
    taken = {name: np.asarray(theirs[name], leaf.dtype) for name, leaf in wanted.items()}
    return (
        {k.removeprefix("params/"): v for k, v in taken.items() if k.startswith("params/")},
        {k.removeprefix("batch_stats/"): v for k, v in taken.items() if k.startswith("batch_stats/")},
        "; ".join([f"{part}: {len(wanted)} arrays from {path}", *notes]),
    )


def _fitted(theirs: dict[str, np.ndarray], ours: dict) -> tuple[dict[str, np.ndarray], list[str]]:
    """The file's arrays without what this network deliberately does not take, and a note on each such thing."""
    notes = []
    classifier = CLASSIFIER + "bias"
    if classifier in ours and (classifier not in theirs or theirs[classifier].shape != ours[classifier].shape):
        theirs = {name: a for name, a in theirs.items() if not name.startswith(CLASSIFIER)}
        notes.append(f"its classifier starts anew with {ours[classifier].shape[0]} classes")
    blocks = {name.split("/")[2] for name in ours if name.startswith("params/blocks/")}
    later = {name for name in theirs if name.startswith("params/blocks/") and name.split("/")[2] not in blocks}
    if later:
        theirs = {name: a for name, a in theirs.items() if name not in later}
        notes.append(f"blocks after the first {len(blocks)} left out")
    name = "params/positions"
    if name in ours and name in theirs and theirs[name].shape[1] != ours[name].shape[1]:
        old, new = (math.isqrt(a[name].shape[1] - 1) for a in (theirs, ours))
        theirs = {**theirs, name: vit.resize_positions(theirs[name], new)}
        notes.append(f"position embeddings resized from {old}x{old} to {new}x{new}")
    return theirs, notes
