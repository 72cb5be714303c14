"""Reads a package: its config, its facts and its arrays."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # makes bfloat16 known to NumPy
import numpy as np
from safetensors import SafetensorError, safe_open

from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError, shown
from lift_flax.files.json_object import as_object
from lift_flax.models.functional import Tree, flatten, unflatten
from lift_flax.runs.config_file import PACKED
from lift_flax.runs.package import contents
from lift_flax.runs.workdir import IN_EVERY_RUN, IN_RESULTS

FORMAT = 1  # of what a package holds; a later version that reads otherwise counts on
DTYPES = ("float32", "float16")  # that a package may keep float32 in
_IN_PACKAGE = IN_EVERY_RUN | {"package": {"format": int, "step": int}}
_ITS_OWN = "the package"  # stands for what a frozen ViT started from: the package holds its weights


@dataclasses.dataclass(frozen=True)
class Package:
    """What a package holds.

    Attributes:
      config: of the run, without the folders of the machine that it was made on.
      facts: all that run.json held in its workdir, and "package", its format and step.
      arrays: of the student, by path: "params/...", "batch_stats/..."; float32 where they were rounded to float16.
      results: what training measured on the test split; None where the run was not tested.
    """

    config: Config
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    results: dict[str, Any] | None


def read(place: Path) -> Package:
    """Reads a package, a folder or a .zip.

    Raises:
      UserError: it is none, or a file of it is missing, damaged or of a later version; or it holds other files.
    """
    with contents.opened(place) as files:
        found = {name: (files[name].read_bytes(), place / name) for name in (contents.CONFIG, contents.FACTS)}
        facts = as_object(*found[contents.FACTS], _IN_PACKAGE, contents.AGAIN)
        if fault := _unusable(facts["classes"]):
            raise UserError(f"{place / contents.FACTS} is missing or damaged ({fault}): {contents.AGAIN}")
        dtype = facts["package"].get("dtype", DTYPES[0])
        if facts["package"]["format"] > FORMAT or dtype not in DTYPES:
            raise UserError(f"{place} was written by a later version of lift_flax: install that one to open it")
        config = _config(*found[contents.CONFIG])
        results = None
        if contents.RESULTS in files:
            path = files[contents.RESULTS]
            results = as_object(path.read_bytes(), place / path.name, IN_RESULTS, contents.AGAIN)
        arrays = _arrays(files[PACKED], place / PACKED)
        return Package(config, facts, _widened(arrays) if dtype != DTYPES[0] else arrays, results)


def _unusable(classes: list[str]) -> str:
    """What is wrong with the names of classes; empty where nothing is."""
    if len({*classes}) < len(classes):
        return "two classes of one name"
    odd = [name for name in classes if not name.strip() or shown(name) != name]
    return f"a class is called '{shown(odd[0])}'" if odd else ""


def card(place: Path) -> str:
    """The model card of a package.

    Raises:
      UserError: it cannot be read.
    """
    with contents.opened(place) as files:
        return files[contents.CARD].read_bytes().decode("utf-8", "replace")


def trees(arrays: dict[str, np.ndarray], expected: Tree, place: Path) -> tuple[Tree, Tree]:
    """(params, batch_stats) of a package's arrays, which must be those of its network.

    Args:
      expected: {"params", "batch_stats"} of the network, as shapes.
      place: the package, for messages.
    Raises:
      UserError: names, shapes or types differ.
    """
    wanted = flatten(expected)
    if differ := sorted({*wanted} ^ {*arrays}):
        holds = "holds" if differ[0] in arrays else "lacks"
        raise UserError(
            f"{place / PACKED} {holds} {shown(differ[0])}, unlike the network of its config.json, and {len(differ)} "
            f"names differ in all: {contents.AGAIN}"
        )
    for name, array in arrays.items():
        shape, dtype = wanted[name].shape, np.dtype(wanted[name].dtype)
        if (array.shape, array.dtype) != (shape, dtype):
            raise UserError(
                f"{place / PACKED}: {name} is {array.dtype} {[*array.shape]}, and the network of its config.json has "
                f"{dtype} {[*shape]} there: {contents.AGAIN}"
            )
    found = unflatten(arrays)
    return found["params"], found.get("batch_stats", {})


def _config(text: bytes, path: Path) -> Config:
    try:
        values = dict(json.loads(text.decode()))
        values["train"] = {**values["train"], "init_from": _ITS_OWN}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({shown(str(error))}): {contents.AGAIN}") from error
    try:
        config = from_dict(values, stored=True)
    except UserError as error:
        raise UserError(f"{path} is of another version of this project, or damaged ({error}): open it there") from error
    return dataclasses.replace(config, train=dataclasses.replace(config.train, init_from=""))


def _widened(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those that were rounded, as the network computes with them."""
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()}


def _arrays(path: Path, name: Path) -> dict[str, np.ndarray]:
    """Reads the arrays in `path`, which messages call `name`."""
    with path.open("rb") as file:
        head = file.read(9)  # of safetensors: the length of the JSON that follows, whose first byte may be any
    if head[8:] != b"{" and (head.startswith(b"\x80") or head[:2] == b"PK"):
        raise UserError(
            f"{name} is no safetensors but a pickle, which may run code when it is opened: refused, and not opened"
        )
    try:
        with safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{name} is damaged ({shown(str(error))}): {contents.AGAIN}") from error
