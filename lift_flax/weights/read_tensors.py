"""Reads weight files of other frameworks: tensors only, never code.

Only .pth files need PyTorch (`pip install -e '.[torch]'`).
"""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.errors import UserError

Tensors = dict[str, np.ndarray]
WRAPPERS = ("state_dict", "model_state", "model")
PREFIXES = ("module.", "model.", "backbone.")
BESIDE = (
    r"(optimizer\w*|(lr_)?scheduler\w*|scaler|ema\w*)\."  # names of what a training checkpoint holds beside weights
)


def read_tensors(path: Path) -> Tensors:
    """{name: array} of a .npz, .safetensors, or PyTorch file (zip or legacy format), without wrappers and prefixes.

    Large files are mapped, not loaded: arrays may be views of the file.  Half-precision floats become float32.

    Raises:
      UserError: no such file, not a file of tensors, or one that would run code.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file of weights")
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the downloaded file of weights")
    if path.suffix == ".npz":
        tensors = _read_npz(path)
    elif path.suffix == ".safetensors":
        tensors = _read_safetensors(path)
    else:
        tensors = _read_torch(path)
    if not tensors:
        raise UserError(f"{path} holds no tensors: is it a file of weights?")
    return _without_prefixes(tensors)


def _read_npz(path: Path) -> Tensors:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _as_float32(arrays[name]) for name in arrays.files}
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise UserError(f"{path} is not an .npz of plain arrays, or damaged: download it again") from error


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: _as_float32(file.get_tensor(name)) for name in file.keys()}
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise UserError(f"{path} is not a .safetensors file, or damaged: download it again") from error


def _read_torch(path: Path) -> Tensors:
    try:
        import torch  # pyright: ignore[reportMissingImports]  # of an extra
    except ImportError as error:
        raise UserError(
            f"reading {path.name} needs PyTorch: pip install -e '.[torch]' in the project's folder"
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # about unusual pickles: PyTorch then reads or refuses them
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        return {name: _from_torch(tensor) for name, tensor in _tensors_of(content, "", torch.Tensor)}
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        with path.open("rb") as file:
            pickled = file.read(1) in (b"P", b"\x80")  # a zip of pickles, or a pickle
        if pickled and isinstance(error, pickle.UnpicklingError):
            raise UserError(
                f"{path} holds more than tensors, perhaps code that would run here: refused, nothing in it was run; "
                "ask its authors for a plain state_dict or .safetensors"
            ) from error
        raise UserError(f"{path} is not a PyTorch file of weights, or damaged: download it again") from error


def _tensors_of(content: Any, prefix: str, kind: type):
    """(dotted name, tensor) of every tensor in nested dicts and lists: also of an optimizer beside the weights."""
    if isinstance(content, kind):
        yield prefix, content
    elif isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _tensors_of(value, f"{prefix}.{key}" if prefix else str(key), kind)


def _from_torch(tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor if not tensor.is_floating_point() else tensor.float()).numpy()


def _as_float32(array: np.ndarray) -> np.ndarray:
    """Floats as float32, bfloat16 (unknown to numpy alone) too; integers and booleans stay."""
    return array if array.dtype == np.float32 or array.dtype.kind in "iub" else array.astype(np.float32)


def _without_prefixes(tensors: Tensors) -> Tensors:
    """Names as in a bare state_dict.  Tensors beside a wrapper, of an optimizer for example, keep their names."""
    wrapper = next((w + "." for w in WRAPPERS if any(name.startswith(w + ".") for name in tensors)), "")
    weights = {name.removeprefix(wrapper): a for name, a in tensors.items() if name.startswith(wrapper)}
    beside = {name: a for name, a in tensors.items() if not name.startswith(wrapper)}
    for prefix in PREFIXES * 2:  # module.model. and model.module. both occur
        if sum(name.startswith(prefix) for name in weights) > len(weights) / 2:
            shorter = {name.removeprefix(prefix): a for name, a in weights.items()}
            if len(shorter) < len(weights):
                raise UserError(f"the file names some tensors twice, with and without '{prefix}'")
            weights = shorter
    return {**beside, **weights}
