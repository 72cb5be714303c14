"""Reads weight files of other frameworks: tensors only, never code.

What a file is, its content says, not its name.  Only PyTorch's own files need PyTorch (`pip install -e '.[torch]'`).
"""

import argparse
import json
import pathlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # makes bfloat16 known to NumPy
import numpy as np

from lift_flax.errors import UserError

Tensors = dict[str, np.ndarray]

HARMLESS = [argparse.Namespace, pathlib.PosixPath]  # a script's arguments, beside many weights: nothing but values
_INDEX = ".index.json"  # names the parts of a large file: model.safetensors.index.json
_PART = re.compile(r"-\d{5}-of-(\d{5})\.\w+$")
_FOREIGN = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: run `git lfs pull` where it came from"),
    (b"<!doctype html", "is a web page: open its address in a browser to see why, then download the file again"),
    (b"<html", "is a web page: open its address in a browser to see why, then download the file again"),
    (b"\x89hdf", "is an HDF5 file, of Keras perhaps: give weights of PyTorch, timm or Google"),
)


def read_tensors(path: Path) -> Tensors:
    """{name: array} of a .npz, .safetensors or PyTorch file (zip or legacy), or of the parts that an index names.

    Large files are mapped, not loaded: arrays may be views of the file.  Half-precision floats become float32; tensors
    of quantised kinds become integers.

    Raises:
      UserError: no such file, not a file of tensors, or one that would run code.
    """
    tensors = {}
    for part, names in _parts(path).items():
        found = _read_file(part)
        if missing := [name for name in names if name not in found]:
            raise UserError(f"{part} lacks {missing[0]}, which {path.name} puts there: download both again")
        tensors.update(found)
    if not tensors:
        raise UserError(f"{path} holds no tensors: is it a file of weights?")
    return tensors


def files_of(path: Path) -> list[Path]:
    """The files that `read_tensors` reads for `path`.  Raises UserError where one is missing."""
    return list(_parts(path))


def _parts(path: Path) -> dict[Path, list[str]]:
    """{file: the names that an index says it holds}, of an index; of any other file just itself."""
    if path.is_dir():
        indices = sorted(file.name for file in path.glob(f"*{_INDEX}"))
        example = f", its {indices[0]} for example" if indices else ""
        raise UserError(f"{path} is a folder: give a file of weights{example}")
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the downloaded file of weights")
    if path.name.endswith(_INDEX):
        return _read_index(path)
    part = _PART.search(path.name)
    if part and int(part[1]) > 1:
        raise UserError(f"{path} is one of {int(part[1])} parts: give the file that ends with {_INDEX} beside it")
    return {path: []}


def _read_index(path: Path) -> dict[Path, list[str]]:
    try:
        places = {str(name): Path(file) for name, file in json.loads(path.read_text())["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no index of the parts of a file of weights, or damaged: download it again"
        ) from error
    parts: dict[Path, list[str]] = {}
    for name, file in places.items():
        if file.name != str(file):
            raise UserError(f"{path} names {file}: parts lie beside their index; download them again")
        parts.setdefault(path.parent / file, []).append(name)
    if missing := [part.name for part in parts if not part.is_file()]:
        raise UserError(f"{path} names {len(parts)} parts, and {missing[0]} is missing: download it to the same folder")
    return parts


def _read_file(path: Path) -> Tensors:
    with path.open("rb") as file:
        head = file.read(64)
    for mark, what in _FOREIGN:
        if head.lstrip().lower().startswith(mark):
            raise UserError(f"{path} {what}")
    if zipfile.is_zipfile(path):
        names = _names_in_zip(path)
        return _read_npz(path) if any(name.endswith(".npy") for name in names) else _read_torch(path, names)
    if path.suffix == ".npz":
        return _read_npz(path)
    # a header of JSON, after its length: whatever the file is called
    if path.suffix == ".safetensors" or (
        head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size
    ):
        return _read_safetensors(path)
    return _read_torch(path)


def _names_in_zip(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is a damaged zip ({error}): download it again") from error


def _read_npz(path: Path) -> Tensors:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise UserError(f"{path} is not an .npz of plain arrays, or damaged: download it again") from error
    return {name: _as_float32(array) for name, array in found.items() if array.dtype.kind not in "SUmM"}  # no texts


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: _tensor_of(file, name) for name in file.keys()}
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise UserError(f"{path} is not a .safetensors file, or damaged: download it again") from error


def _tensor_of(file, name: str) -> np.ndarray:
    stored = file.get_slice(name)
    if stored.get_dtype() in ("F64", "F32", "F16", "BF16", "BOOL") or stored.get_dtype()[0] in "IU":
        return _as_float32(file.get_tensor(name))
    return np.broadcast_to(np.uint8(0), stored.get_shape())  # eight-bit floats and smaller: see `read_tensors`


def _as_float32(array: np.ndarray) -> np.ndarray:
    """Floats as float32, bfloat16 too; everything else stays."""
    return array if array.dtype == np.float32 or array.dtype.kind in "iubc" else array.astype(np.float32)


def _read_torch(path: Path, names_in_zip: list[str] | None = None) -> Tensors:
    if names_in_zip is not None:
        _refuse_programs(path, names_in_zip)
    try:
        import torch  # pyright: ignore[reportMissingImports]  # of an extra
    except ImportError as error:
        raise UserError(
            f"reading {path.name} needs PyTorch: pip install -e '.[torch]' in the project's folder"
        ) from error
    mapped = names_in_zip is not None
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        return {name: _array(tensor) for name, tensor in _tensors_of(content, "", torch.Tensor)}
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise UserError(f"{path} {_reason(path, error)}") from error


def _refuse_programs(path: Path, names: list[str]) -> None:
    if any("/code/" in name for name in names):
        raise UserError(
            f"{path} is a TorchScript archive, a program: refused, nothing in it was run; where it comes from, save "
            "its tensors alone: torch.save(torch.jit.load(FILE).state_dict(), OTHER_FILE)"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise UserError(
            f"{path} is a zip, but none that torch.save writes (it holds {names[0] if names else 'nothing'}): give a "
            "state_dict, .safetensors or .npz"
        )


def _reason(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        pickled = file.read(1) in (b"P", b"\x80")  # a zip of pickles, or a pickle
    if not pickled or not isinstance(error, pickle.UnpicklingError):
        return "is not a PyTorch file of weights, or damaged: download it again"
    found = re.search(r"GLOBAL (\S+) was not", str(error))
    what = f" ({found[1]})" if found else ""
    return (
        f"holds more than tensors{what}, perhaps code that would run here: refused, nothing in it was run; where it "
        "comes from, save the tensors alone: torch.save(model.state_dict(), FILE)"
    )


def _tensors_of(content: Any, prefix: str, kind: type) -> Iterator[tuple[str, Any]]:
    """(dotted name, tensor) of every tensor in nested dicts and lists: also of an optimizer beside the weights."""
    if isinstance(content, kind):
        yield prefix, content
    elif isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _tensors_of(value, f"{prefix}.{key}" if prefix else str(key), kind)


def _array(tensor) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.is_quantized:
        return tensor.int_repr().numpy()
    if tensor.is_floating_point() and tensor.element_size() == 1:  # eight-bit floats, which NumPy does not know
        return np.broadcast_to(np.uint8(0), tuple(tensor.shape))
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
