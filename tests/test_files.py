"""Files are written whole or not at all."""

import ast
import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lift_flax.errors import file_system_message
from lift_flax.files import replacing, replacing_folder, write_text
from tests import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replacing_swaps_a_whole_file_in(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["facts.json"]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_part(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), replacing(path) as part:
            part.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["facts.json"]


def test_a_folder_is_swapped_in_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "net"
    for number in ("1", "2"):
        with replacing_folder(folder) as part:
            (part / number).touch()
            assert not (folder / number).exists()
        assert names(folder) == [number] and names(tmp_path) == ["net"]
    with pytest.raises(KeyboardInterrupt), replacing_folder(folder) as part:
        (part / "3").touch()
        raise KeyboardInterrupt
    assert names(folder) == ["2"] and names(tmp_path) == ["net"]


def test_a_full_disk_is_named_by_the_folder(tmp_path, monkeypatch):
    """Whatever writes: a library's error names no file, as that of the system does on a write."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    for path, folder in ((Path("facts.json"), tmp_path), (Path("below/facts.json"), tmp_path / "below")):
        with pytest.raises(OSError) as caught, replacing(path) as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
        told = file_system_message(caught.value)
        assert told == f"no space left on device ({folder}): make room there, then run the same command again"
    assert names(tmp_path) == ["below"] and names(tmp_path / "below") == []


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "facts.json"):
        pass


def test_libraries_that_go_by_the_suffix_write_under_the_given_name(tmp_path):
    with replacing(tmp_path / "arrays.npz") as part:
        np.savez(part, x=np.arange(3))
    with replacing(tmp_path / "picture.png") as part:
        Image.new("RGB", (4, 2)).save(part)
    assert names(tmp_path) == ["arrays.npz", "picture.png"]
    with Image.open(tmp_path / "picture.png") as picture, np.load(tmp_path / "arrays.npz") as arrays:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(arrays["x"], [0, 1, 2])


def test_write_text_replaces_the_text(tmp_path):
    write_text(tmp_path / "notes.txt", "first")
    write_text(tmp_path / "notes.txt", "second: é ü")
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "second: é ü"
    assert names(tmp_path) == ["notes.txt"]


WRITERS = ("write_text", "write_bytes", "savefig", "save", "savez", "savez_compressed", "save_file", "copyfile")
OTHERS = ("config_file", "converted", "_manager", "_checkpoints")  # whose `save` writes in this way itself


def _written_in_place(path: Path) -> list[str]:
    """Calls in a source file that write to anything but the part of a `replacing`, or to memory."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS):
            continue
        owner = ast.unparse(node.func.value)
        written = owner if node.func.attr in ("write_text", "write_bytes") else ", ".join(map(ast.unparse, node.args))
        names = {name.id for name in ast.walk(ast.parse(written)) if isinstance(name, ast.Name)}
        if not any(name.endswith(("part", "buffer")) for name in names) and owner.rpartition(".")[2] not in OTHERS:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_every_file_is_written_whole_or_not_at_all():
    sources = [path for package in ("lift_flax", "data_prep") for path in sorted((ROOT / package).rglob("*.py"))]
    assert sum((_written_in_place(path) for path in sources), []) == []
