"""Packages that are damaged, hostile or none: one line that names the fault, and nothing of them is run."""

import json
import math
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import lift_flax
from lift_flax.errors import UserError
from lift_flax.runs.package import contents, reading
from lift_flax.runs.trained import open_trained

ARRAYS = "model.safetensors"


@pytest.fixture
def copy(packed, tmp_path) -> Path:
    """A package to spoil."""
    return shutil.copytree(packed, tmp_path / "copy")


SOUND = {"temperature": 1.0, "threshold": 0.5, "ece_before": 0.1, "ece_after": 0.1, "clips": 9}


def _zip(out: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _refused(place: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_trained(place)
    assert "\n" not in str(caught.value) and str(place) in str(caught.value)


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("it_ran"),))


def test_pickles_are_refused_and_not_opened(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = pickle.dumps(Bomb())
    (tmp_path / "net.pkl").write_bytes(evil)
    _refused(tmp_path / "net.pkl", "net.pkl is a pickle, which may run code .* refused, and not opened")
    (copy / "pytorch_model.bin").write_bytes(evil)
    _refused(copy, r"holds pytorch_model\.bin, a kind of file that may run code .* refused")
    (copy / "pytorch_model.bin").unlink()
    (copy / ARRAYS).write_bytes(evil)
    _refused(copy, "model.safetensors is no safetensors but a pickle")
    _zip(tmp_path / "torch.zip", {"archive/data.pkl": evil, "archive/version": b"3"})
    _refused(tmp_path / "torch.zip", r"torch\.zip holds data\.pkl, a kind of file that may run code")
    assert not Path("it_ran").exists()


def test_a_length_that_looks_like_a_pickle_is_none(copy):
    """The first byte of safetensors is that of the length of their names, which may be any multiple of eight."""
    with safe_open(copy / ARRAYS, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    for size in range(0, 256, 8):
        save_file(arrays, copy / ARRAYS, metadata={"filler": "x" * size})
        if (copy / ARRAYS).read_bytes()[0] == 0x80:
            break
    assert (copy / ARRAYS).read_bytes()[0] == 0x80
    assert open_trained(copy).classes == ("down", "right", "still")


def test_names_that_lead_out_of_a_zip(copy, tmp_path):
    for name in ("../escaped", "/escaped", "below/../../escaped", "..\\escaped", "C:escaped"):
        place = _zip(tmp_path / "net.zip", {**_files(copy), name: b"mine"})
        _refused(place, "a path that leads out of it: refused, and nothing was unpacked")
    assert not list(tmp_path.rglob("escaped")) and not Path("/escaped").exists()
    with zipfile.ZipFile(tmp_path / "net.zip", "w") as archive:
        link = zipfile.ZipInfo("README.md")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    _refused(tmp_path / "net.zip", r"holds README\.md, which is a link: refused")


def test_the_card_of_a_folder_and_of_a_zip(copy, tmp_path):
    card = (copy / "README.md").read_text()
    assert reading.card(copy) == reading.card(_zip(tmp_path / "net.zip", _files(copy))) == card


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("classes", ["a\n", "b", "c"], "a class is called"),
        ("classes", ["a", "a", "c"], "two classes of one name"),
        ("clip_seconds", "x", "clip_seconds is x"),
        ("clip_seconds", math.nan, "clip_seconds is nan"),
        ("calibration", {"student": {**SOUND, "temperature": 1e-40}}, r"damaged \(calibration\)"),
    ],
)
def test_facts_that_cannot_be(copy, name, value, fault):
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**facts, name: value}))
    _refused(copy, fault)


def test_a_member_without_a_name(copy, tmp_path):
    place = _zip(tmp_path / "net.zip", {**_files(copy), "zzz": b"mine"})
    place.write_bytes(place.read_bytes().replace(b"zzz", b"\0zz"))
    _refused(place, "a path that leads out of it")


def test_zip_bombs(copy, tmp_path):
    files = _files(copy)
    place = _zip(tmp_path / "net.zip", {**files, ARRAYS: bytes(2**26)}, zipfile.ZIP_DEFLATED)
    assert place.stat().st_size < 2**18
    _refused(place, "would grow from .* bytes: refused as a zip bomb, and nothing was unpacked")
    _refused(_zip(place, {f"{number}.json": b"" for number in range(70)}), "holds 70 files, more than any package")
    long = np.random.default_rng(0).bytes(contents.MOST_TEXT + 1)
    _refused(_zip(place, {**files, "README.md": long}), r"README\.md has 16 MiB, and may have 16")


def test_a_zip_that_says_less_than_it_holds(copy, tmp_path):
    """Its own table gives a small size: no more than that is unpacked, and the checksum does not fit."""
    place = _zip(tmp_path / "net.zip", _files(copy), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(place) as archive:
        size = archive.getinfo("README.md").file_size
    content = place.read_bytes()
    assert content.count(size.to_bytes(4, "little")) >= 2
    place.write_bytes(content.replace(size.to_bytes(4, "little"), (7).to_bytes(4, "little")))
    _refused(place, r"is no \.zip of a package, or damaged \(.*Bad CRC-32 for file 'README\.md'")


@pytest.mark.slow
def test_zips_as_people_make_them(copy, tmp_path):
    """Of the folder itself, with what a Mac puts beside it, or compressed."""
    files = {f"net/{name}": content for name, content in _files(copy).items()}
    place = _zip(tmp_path / "net.zip", {"net/": b"", **files, "__MACOSX/net/._x": b"", "net/.DS_Store": b""})
    assert open_trained(place).classes == open_trained(copy).classes
    assert open_trained(_zip(place, _files(copy), zipfile.ZIP_DEFLATED)).step == open_trained(copy).step
    _refused(_zip(place, _files(copy), zipfile.ZIP_BZIP2), "in a rare compression: pack it again")


def test_files_that_are_missing_or_no_part_of_it(copy, tmp_path):
    for name in (ARRAYS, "run.json", "README.md"):
        kept = (copy / name).read_bytes()
        (copy / name).unlink()
        _refused(copy, f"is no whole package of a run: it lacks {name}; copy or download it again")
        (copy / name).write_bytes(kept)
    (copy / "results.json").unlink()  # a run need not be tested
    (copy / ".gitattributes").touch()  # a model hub's
    with pytest.raises(UserError, match="results.json is missing"):
        lift_flax.load(copy).results  # noqa: B018
    (copy / "code.py").write_text("print('hello')")
    _refused(copy, r"holds code\.py, which is no part of a package: take it out")
    _refused(
        _zip(tmp_path / "net.zip", {"readme.txt": b"", "b": b""}), "net.zip is no whole package of a run: it lacks"
    )


def test_damaged_files(copy, tmp_path):
    arrays, place = (copy / ARRAYS).read_bytes(), tmp_path / "net.zip"
    for damaged in (arrays[:1000], arrays[:-4], b"", b"\xff" * 64, b"{}"):
        (copy / ARRAYS).write_bytes(damaged)
        _refused(copy, "model.safetensors is damaged .*: copy or download it again")
    (copy / ARRAYS).write_bytes(arrays)
    for name in ("config.json", "run.json"):
        kept = (copy / name).read_bytes()
        for damaged in (b"", b"\xff\xfe", b"[1]", b"{}", b'{"train": 3}', b"[" * 100_000):
            (copy / name).write_bytes(damaged)
            _refused(copy, f"{name} is (missing or )?damaged")
        (copy / name).write_bytes(kept)
    whole = _zip(place, _files(copy)).read_bytes()
    for damaged in (whole[:5000], whole[: len(whole) // 2] + b"\0" * 99 + whole[len(whole) // 2 + 99 :], b"", b"PK"):
        place.write_bytes(damaged)
        _refused(place, "damaged")


def test_arrays_that_are_not_the_networks(copy):
    with safe_open(copy / ARRAYS, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    name = next(name for name in arrays if name.startswith("params/head"))

    def refused(changed: dict[str, np.ndarray], message: str) -> None:
        save_file(changed, copy / ARRAYS)
        _refused(copy, message)

    without = {other: array for other, array in arrays.items() if other != name}
    refused(without, f"model.safetensors lacks {name}, unlike the network of its config.json, and 1 names differ")
    refused({**arrays, "params/a/b": np.ones(2)}, "holds params/a/b, unlike the network")
    refused({**arrays, name: np.ones((1, 2), np.float32)}, rf"{name} is float32 \[1, 2\], and the network .* has")
    refused({**arrays, name: arrays[name].astype(np.float16)}, rf"{name} is float16 .*has float32")
    refused({}, "model.safetensors lacks batch_stats/")


def test_configs_and_formats_of_other_versions(copy):
    for name, change, message in (
        ("config.json", {"later": 1}, r"config\.json is of another version of this project, or damaged \(.*later"),
        ("run.json", {"package": {"format": 2, "step": 1}}, "was written by a later version of lift_flax"),
        ("run.json", {"package": {"format": 1, "step": 1, "dtype": "int4"}}, "was written by a later version"),
        ("run.json", {"package": {"format": 1}}, r"run\.json is missing or damaged \(no step in package\)"),
        ("run.json", {"classes": ["one", "two"]}, "and the network of its config.json has"),
        ("config.json", {"auto": "data.sampling", "model": {"num_heads": 7}}, "describes no network that can be made"),
    ):
        kept = (copy / name).read_text()
        (copy / name).write_text(json.dumps({**json.loads(kept), **change}))
        _refused(copy, message)
        (copy / name).write_text(kept)
