"""Starting a part of the network from a file of weights (`init_from` in the config), strictly.

The file is an .npz whose names are our own parameter paths, "params/..." and, where the part has BatchNorm,
"batch_stats/...".  It is not a checkpoint: training starts at step 0 with fresh moments.
"""

import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lift_flax.errors import UserError
from lift_flax.state import Tree, flatten, unflatten

CLASSIFIER = "params/fc/"


def init_from(path: str, part: str, params: Tree, batch_stats: Tree) -> tuple[Tree, Tree]:
    """(params, batch_stats) of `part` with the values of the file at `path`.

    A classifier of another size keeps its fresh values, and that is printed.

    Args:
      params, batch_stats: of the part, as arrays; as shapes they are only checked against the file.

    Raises:
      UserError: no such file, not an .npz, or a name or shape that does not fit; names the first of them.
    """
    ours = {f"params/{k}": v for k, v in flatten(params).items()}
    ours.update({f"batch_stats/{k}": v for k, v in flatten(batch_stats).items()})
    theirs = _read(path)
    new_classes = (
        CLASSIFIER + "bias" in ours
        and theirs.get(CLASSIFIER + "bias", np.zeros(0)).shape != ours[CLASSIFIER + "bias"].shape
    )
    wanted = {name: leaf for name, leaf in ours.items() if not (new_classes and name.startswith(CLASSIFIER))}
    spare = {name for name in theirs if new_classes and name.startswith(CLASSIFIER)}
    for name, leaf in wanted.items():
        if name not in theirs:
            raise UserError(f"{path} lacks '{name}' of the {part}: is it a file for another network?")
        if theirs[name].shape != leaf.shape:
            raise UserError(f"{path}: '{name}' is {theirs[name].shape}, the {part} of this config takes {leaf.shape}")
    if unknown := sorted(set(theirs) - set(wanted) - spare):
        raise UserError(f"{path} holds '{unknown[0]}', which the {part} of this config has not")
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in wanted.values()):
        return params, batch_stats
    print(f"{part}: {len(wanted)} arrays from {path}" + ("; its classifier starts anew" if new_classes else ""))
    filled = {**ours, **{name: jnp.asarray(theirs[name], leaf.dtype) for name, leaf in wanted.items()}}
    return (
        unflatten({k.removeprefix("params/"): v for k, v in filled.items() if k.startswith("params/")}),
        unflatten({k.removeprefix("batch_stats/"): v for k, v in filled.items() if k.startswith("batch_stats/")}),
    )


def _read(path: str) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: mend init_from in the config")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} is not an .npz file of arrays ({error})") from error
