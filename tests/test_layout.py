"""A reader finds things: small files in small folders, one name for one thing."""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

from tests import ROOT

MOST_FILES, MOST_LINES = 14, 300
PACKAGES = ("configs", "data_prep", "lift_flax", "tests")
FOLDERS = sorted(path for name in PACKAGES for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_dir())
FILES = sorted(path for name in (*PACKAGES, "benchmarks", "docs", "examples") for path in (ROOT / name).rglob("*.py"))


def test_folders_hold_few_files():
    """`__init__.py` counts."""
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in FOLDERS}
    assert counts["lift_flax/train"] > 5
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_files_are_short():
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert len(lines) > 200
    assert not {path: count for path, count in lines.items() if count > MOST_LINES}


def _statements(packages: tuple[str, ...]) -> Iterator[tuple[Path, ast.stmt]]:
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in packages:
            yield from ((path, statement) for statement in ast.parse(path.read_text(encoding="utf-8")).body)


def test_a_type_has_a_name_of_its_own():
    """But for `PViT`: a group of fields, and the network that it describes."""
    places = collections.defaultdict(set)
    for path, statement in _statements(("data_prep", "lift_flax")):
        names = [target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)]
        names += [statement.name] if isinstance(statement, ast.ClassDef) else []
        for name in names:
            if name[0].isupper() and not name.isupper():
                places[name].add(str(path.relative_to(ROOT)))
    assert len(places) > 100
    assert {name: sorted(files) for name, files in places.items() if len(files) > 1}.keys() == {"PViT"}


def test_modules_are_imported_by_their_own_names():
    """But for `__main__`, which says nothing."""
    renamed = []
    for path, statement in _statements((*PACKAGES, "benchmarks", "docs", "examples")):
        if isinstance(statement, ast.ImportFrom) and not statement.level:
            folder = ROOT / (statement.module or "").replace(".", "/")
            for name in statement.names:
                is_module = (folder / f"{name.name}.py").is_file() or (folder / name.name).is_dir()
                if name.asname and is_module and name.name != "__main__":
                    renamed.append(f"{path.relative_to(ROOT)}: {name.name} as {name.asname}")
    assert not renamed
