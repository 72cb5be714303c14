"""Files that PyTorch writes: both formats, what wrappers and scripts save, half precision, ones that would run code."""

import argparse
import collections
import pathlib
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make parity installs it")

from safetensors.torch import load_file  # noqa: E402

from lift_flax.errors import UserError  # noqa: E402
from lift_flax.weights import convert, converted, to_torch  # noqa: E402
from lift_flax.weights.copies import find_copy  # noqa: E402
from lift_flax.weights.read_tensors import read_tensors  # noqa: E402
from tests.golden import make_golden  # noqa: E402
from tests.reference.video_resnet import VideoResNet  # noqa: E402
from tests.support.weights_tools import fill, golden_clip, golden_images, trunk_tensors  # noqa: E402


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
    tensors = find_copy(read_tensors(tmp_path / "w.pth"), "r2plus1d").tensors
    assert tensors.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensors[name], tensor.numpy())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats_become_float32(tmp_path, kind):
    torch.save({n: t.to(kind) if t.is_floating_point() else t for n, t in _state_dict().items()}, tmp_path / "w.pth")
    assert read_tensors(tmp_path / "w.pth")["stem.0.weight"].dtype == np.float32


WRAPPERS = {
    "compiled": torch.compile,
    "parallel": torch.nn.DataParallel,
    "compiled, parallel": lambda net: torch.nn.DataParallel(torch.compile(net)),
    "parallel, compiled": lambda net: torch.compile(torch.nn.DataParallel(net)),
    "average": torch.optim.swa_utils.AveragedModel,
    "average of compiled": lambda net: torch.optim.swa_utils.AveragedModel(torch.compile(net)),
}


@pytest.mark.filterwarnings("ignore:.*is deprecated.*:DeprecationWarning")  # within torch.compile
@pytest.mark.parametrize("how", WRAPPERS)
def test_what_wrapped_modules_save(tmp_path, how):
    """Beside their optimizer and the arguments of the script, as in training scripts of torchvision."""
    net = VideoResNet("r2plus1d_tiny", 3)
    fill(net, trunk_tensors("r2plus1d_tiny", 3))
    optimizer = torch.optim.AdamW(net.parameters())
    sum(p.sum() for p in net.parameters()).backward()
    optimizer.step()
    content = {"model": WRAPPERS[how](net).state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save({**content, "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs"))}, tmp_path / "w.pth")
    found = find_copy(read_tensors(tmp_path / "w.pth"), "r2plus1d")
    assert not found.others and any(name.startswith("optimizer.") for name in found.beside)
    assert found.tensors.keys() == net.state_dict().keys()
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(found.tensors[name], value.numpy(), err_msg=name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("how", "message"), [
    ("module", r"holds more than tensors \(.*VideoResNet\), perhaps code .*: torch.save\(model.state_dict\(\), FILE\)"),
    ("script", "is a TorchScript archive, a program: refused, nothing in it was run; .*torch.jit.load"),
    ("export", "is a zip, but none that torch.save writes"),
    ("int8", "stem.0.weight holds int8, not floating-point numbers: the file is quantised"),
    ("float8", "stem.0.weight holds uint8, not floating-point numbers: the file is quantised"),
])  # fmt: skip
def test_what_is_no_file_of_weights_is_named(tmp_path, how, message):
    net, path = VideoResNet("r2plus1d_tiny", 3).eval(), tmp_path / "w.pt"
    clip = torch.zeros(1, 3, 4, 32, 32)
    if how == "module":
        torch.save({"model": net}, path)
    elif how == "script":
        torch.jit.trace(net, clip, strict=False).save(path)
    elif how == "export":
        torch.export.save(torch.export.export(net, (clip,)), path)
    else:
        quantise = (
            (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8))
            if how == "int8"
            else lambda t: t.to(torch.float8_e4m3fn)
        )
        tensors = {n: quantise(t) if t.is_floating_point() else t for n, t in net.state_dict().items()}
        torch.save({"model": {"stem.0.weight": tensors.pop("stem.0.weight"), **tensors}}, path)
    with pytest.raises(UserError, match=message):
        convert.main(["r2plus1d", str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["r2plus1d_tiny", "r3d_tiny", "r2plus1d_18", "mc3_18", "hara_34"])
def test_check_agrees_with_pytorch(tmp_path, capsys, name):
    """As docs/weights.md has it: the module's own output, of its own tensors, beside the clip."""
    net, _ = make_golden.trunk_reference(name, 5)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    np.savez(tmp_path / "check.npz", clip=golden_clip(), **make_golden.trunk_check(net))
    command = ["r2plus1d", str(tmp_path / "w.pth"), f"--check={tmp_path / 'check.npz'}", f"--out={tmp_path / 'out'}"]
    convert.main(command)
    assert capsys.readouterr().out.count(": ok") == 2
    assert converted.load_facts(tmp_path / "out")["checked"]["relative_error"] <= 1e-4
    with torch.no_grad():
        net.get_parameter("layer2.0.conv1.weight" if name == "hara_34" else "stem.0.weight").mul_(1.05)
    np.savez(tmp_path / "check.npz", clip=golden_clip(), **make_golden.trunk_check(net))
    with pytest.raises(UserError, match="do not compute what"):
        convert.main([*command, "--overwrite"])


@pytest.mark.parametrize("heads", [3, 6])
def test_check_of_a_vit_agrees_with_pytorch(tmp_path, capsys, heads):
    net, _ = make_golden.vit_reference(heads)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "w.pth")
    np.savez(tmp_path / "check.npz", clip=golden_images(64), **make_golden.vit_check(net))
    command = ["vit", str(tmp_path / "w.pth"), f"--check={tmp_path / 'check.npz'}", f"--out={tmp_path / 'out'}"]
    convert.main([*command, "--gelu=tanh", f"--num-heads={heads}"])
    assert "features: largest" in capsys.readouterr().out
    with pytest.raises(UserError, match="do not compute what"):
        convert.main([*command, "--gelu=tanh", f"--num-heads={2 * heads}", "--overwrite"])


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
    with pytest.raises(UserError, match=r"holds more than tensors.*, perhaps code that would run here: refused"):
        convert.main(["r2plus1d", str(tmp_path / "w.pth"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off"])
def test_damaged_files_are_one_line(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match="is not a PyTorch file of weights"):
        read_tensors(tmp_path / "w.pth")


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
