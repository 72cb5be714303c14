"""Reading weight files of other frameworks: tensors only, never code.

Needs PyTorch for .pth files alone (`pip install lift_flax[torch]`).
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


def read_tensors(path: Path) -> Tensors:
    """{name: array} of a .npz, .safetensors, or PyTorch file (zip or legacy format), without wrappers and prefixes.

    Large files are mapped, not loaded: arrays may be views of the file.  Half-precision floats become float32.

    Raises:
      UserError: no such file, not a file of tensors, or one that would run code.
    """
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
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not an .npz of plain arrays ({_first_line(error)}): download it again") from error


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: _as_float32(file.get_tensor(name)) for name in file.keys()}
    except (SafetensorError, TypeError, OSError) as error:
        raise UserError(f"{path} is not a .safetensors file ({_first_line(error)}): download it again") from error


def _read_torch(path: Path) -> Tensors:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path.name} needs PyTorch: pip install 'lift_flax[torch]' (or convert the file to .safetensors)"
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # of unusual pickles, which it then refuses or reads
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "global" in str(error).lower():
            raise UserError(
                f"{path} holds more than tensors, perhaps code that would run here: refused; "
                "ask its authors for a plain state_dict or .safetensors"
            ) from error
        raise UserError(f"{path} is not a PyTorch file of weights ({_first_line(error)})") from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, OSError) as error:
        raise UserError(f"{path} is not a PyTorch file of weights ({_first_line(error)}): download it again") from error
    return {name: _from_torch(tensor) for name, tensor in _tensors_of(content, "", torch.Tensor)}


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
    return array.astype(np.float32) if array.dtype in (np.float16, np.float64) else array


def _without_prefixes(tensors: Tensors) -> Tensors:
    """Names as in a bare state_dict: of a wrapper with other things beside it, only the weights lose its name."""
    for wrapper in WRAPPERS:
        if any(name.startswith(wrapper + ".") for name in tensors):
            tensors = {name.removeprefix(wrapper + "."): a for name, a in tensors.items()}
            break
    for prefix in PREFIXES * 2:  # module.model. and model.module. both occur
        if sum(name.startswith(prefix) for name in tensors) > len(tensors) / 2:
            tensors = {name.removeprefix(prefix): a for name, a in tensors.items()}
    return tensors


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
