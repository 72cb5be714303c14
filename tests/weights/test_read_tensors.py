"""Files of weights are read by what they hold, and what is none of them is named as what it is."""

import json
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from lift_flax.errors import UserError
from lift_flax.weights import convert, converted
from lift_flax.weights.read_tensors import read_tensors
from tests.support.weights_tools import trunk_tensors


@pytest.mark.parametrize(("name", "content", "message"), [
    ("none.pth", None, "does not exist"),
    ("text.npz", b"hello", "is not an .npz of plain arrays"),
    ("text.safetensors", b"hello", "is not a .safetensors file"),
    ("w.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS.*git lfs pull"),
    ("w.safetensors", b"<!DOCTYPE html><html>", "is a web page"),
    ("w.pth", b"\n<html>not found</html>", "is a web page"),
    ("w.h5", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    ("model-00002-of-00003.safetensors", b"x", "is one of 3 parts: give the file that ends with .index.json"),
    ("x.safetensors.index.json", b"{", "is no index of the parts"),
    ("x.safetensors.index.json", b'{"weight_map": {"a": "../b.safetensors"}}', "parts lie beside their index"),
    ("x.safetensors.index.json", b'{"weight_map": {"a": "b.safetensors"}}', "1 parts, and b.safetensors is missing"),
])  # fmt: skip
def test_files_that_hold_no_weights(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize(("inside", "message"), [
    ("w/code/__torch__/net.py", "is a TorchScript archive, a program: refused"),
    ("models/model.json", "is a zip, but none that torch.save writes .it holds models/model.json."),
])  # fmt: skip
def test_archives_of_programs_are_refused(tmp_path, inside, message):
    """Without PyTorch too: what is in a zip shows from outside."""
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr(inside, "def forward(self): ...")
    with pytest.raises(UserError, match=message):
        read_tensors(tmp_path / "w.pt")


def test_names_of_files_do_not_matter(tmp_path):
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "pytorch_model.bin")
    np.savez(tmp_path / "arrays.npz", a=np.ones(3), title="a text")
    (tmp_path / "arrays.npz").rename(tmp_path / "arrays.pth")
    for name in ("pytorch_model.bin", "arrays.pth"):
        found = read_tensors(tmp_path / name)
        assert found.keys() == {"a"} and found["a"].dtype == np.float32 and found["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_other_floats_become_float32(tmp_path, kind):
    save_file({"a": np.array([1.5, -2], kind)}, tmp_path / "w.safetensors")
    array = read_tensors(tmp_path / "w.safetensors")["a"]
    assert array.dtype == np.float32 and array.tolist() == [1.5, -2]


def test_eight_bit_floats_are_quantised(tmp_path):
    """They lack their scales, as integers do."""
    tensors = {n: a for n, a in trunk_tensors("r2plus1d_tiny", 3).items() if "num_batches" not in n}
    save_file(tensors, tmp_path / "w.safetensors")
    content = (tmp_path / "w.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, name = json.loads(content[8 : 8 + size]), "stem.0.weight"
    header[name] |= {"dtype": "F8_E4M3", "shape": [4 * tensors[name].shape[0], *tensors[name].shape[1:]]}
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    with pytest.raises(UserError, match="stem.0.weight holds uint8, not floating-point numbers"):
        convert.main(["r2plus1d", str(tmp_path / "w.safetensors"), f"--out={tmp_path / 'out'}"])


def test_a_file_in_parts_is_read_by_its_index(tmp_path):
    tensors = {n: a for n, a in trunk_tensors("r2plus1d_tiny", 3).items() if "num_batches" not in n}
    places, names = {}, sorted(tensors)
    for i in range(2):
        part = f"model-0000{i + 1}-of-00002.safetensors"
        save_file({n: np.ascontiguousarray(tensors[n]) for n in names[i::2]}, tmp_path / part)
        places |= dict.fromkeys(names[i::2], part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    found = read_tensors(index)
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(UserError, match="is a folder: give a file of weights, its model.safetensors.index.json for"):
        read_tensors(tmp_path)
    digest = _converted(index, tmp_path / "one")
    assert _converted(index, tmp_path / "two") == digest
    names = names[1::2]
    save_file({n: np.ascontiguousarray(2 * tensors[n]) for n in names}, tmp_path / places[names[0]])
    assert _converted(index, tmp_path / "three") != digest  # of all parts, not of the index
    save_file({n: np.ascontiguousarray(tensors[n]) for n in names[1:]}, tmp_path / places[names[0]])
    with pytest.raises(UserError, match=f"lacks {names[0]}, which {index.name} puts there"):
        read_tensors(index)


def _converted(file: Path, folder: Path) -> str:
    convert.main(["r2plus1d", str(file), f"--out={folder}"])
    return converted.load_facts(folder)["source"]["sha256"]


def test_object_arrays_are_not_unpickled(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    np.savez(tmp_path / "hostile.npz", weights=np.array([Hostile()], dtype=object))
    with pytest.raises(UserError, match="is not an .npz of plain arrays"):
        read_tensors(tmp_path / "hostile.npz")
    assert not (tmp_path / "ran").exists()
