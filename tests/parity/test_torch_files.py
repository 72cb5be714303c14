"""Files that PyTorch writes: both formats, half precision, and ones that would run code."""

import collections
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make parity installs it")

from safetensors.torch import load_file  # noqa: E402

from lift_flax.errors import UserError  # noqa: E402
from lift_flax.weights import convert, read_tensors, to_torch  # noqa: E402
from tests.reference.video_resnet import VideoResNet  # noqa: E402
from tests.support.weights_tools import fill, trunk_tensors  # noqa: E402


def _state_dict() -> dict:
    return collections.OrderedDict(
        (name, torch.from_numpy(np.array(a))) for name, a in trunk_tensors("r2plus1d_tiny", 3).items()
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_both_formats_give_the_same_tensors(tmp_path, zipped, wrapped):
    state = _state_dict()
    content = {"epoch": 3, "state_dict": {f"module.{n}": t for n, t in state.items()}} if wrapped else state
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    tensors = read_tensors.read_tensors(tmp_path / "w.pth")
    assert tensors.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensors[name], tensor.numpy())


def test_half_precision_becomes_float32(tmp_path):
    torch.save({n: t.bfloat16() if t.is_floating_point() else t for n, t in _state_dict().items()}, tmp_path / "w.pth")
    assert read_tensors.read_tensors(tmp_path / "w.pth")["stem.0.weight"].dtype == np.float32


class Hostile:
    """Unpickling it makes a file: what a file from the internet could do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_code_in_a_file_does_not_run(tmp_path, how):
    content = {"stem.0.weight": torch.zeros(3), "extra": Hostile(tmp_path / "ran")}
    if how == "bare":
        (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(UserError, match="holds more than tensors, perhaps code that would run here: refused"):
        convert.main(["r2plus1d", str(tmp_path / "w.pth"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off", b"<html>not found</html>"])
def test_damaged_files_are_one_line(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match="is not a PyTorch file of weights"):
        read_tensors.read_tensors(tmp_path / "w.pth")


def test_pytorch_takes_the_export_back(tmp_path):
    net = VideoResNet("r3d_18", 5)
    tensors = trunk_tensors("r3d_18", 5)
    fill(net, tensors)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    convert.main(["r2plus1d", str(tmp_path / "w.pth"), "--out", str(tmp_path / "ours")])
    to_torch.main([str(tmp_path / "ours"), "--to=safetensors", f"--out={tmp_path / 'back.safetensors'}"])
    fresh = VideoResNet("r3d_18", 5)
    fresh.load_state_dict(load_file(tmp_path / "back.safetensors"))  # strict
    for name, value in fresh.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, net.state_dict()[name]), name
