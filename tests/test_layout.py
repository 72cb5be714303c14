"""A reader finds things in small files and small folders."""

from tests import ROOT

MOST_FILES, MOST_LINES = 14, 300
PACKAGES = ("configs", "data_prep", "lift_flax", "tests")
FOLDERS = sorted(path for name in PACKAGES for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_dir())
FILES = sorted(path for name in (*PACKAGES, "benchmarks", "docs") for path in (ROOT / name).rglob("*.py"))


def test_folders_hold_few_files():
    """`__init__.py` counts."""
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in FOLDERS}
    assert counts["lift_flax/train"] > 5
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_files_are_short():
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert len(lines) > 200
    assert not {path: count for path, count in lines.items() if count > MOST_LINES}
