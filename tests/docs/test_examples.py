"""The examples of README, pages and public docstrings run as they stand, on a run and a video of the tests."""

import doctest
import importlib
import pkgutil
import re
import shutil
from pathlib import Path

import pytest

import lift_flax
from tests import ROOT
from tests.conftest import moving_bar
from tests.support.video_files import write_video

PAGES = ("README.md", "docs/use.md")
RUNS = ("RUN", "run")  # what a page calls the workdir of a finished run
VIDEOS = ("clip.mp4", "new_clip.mp4", "other.mp4")

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: it holds what the examples name."""
    shutil.copytree(run, tmp_path / RUNS[0])
    for name in RUNS[1:]:
        (tmp_path / name).symlink_to(tmp_path / RUNS[0])
    for seed, name in enumerate(VIDEOS):
        write_video(tmp_path / name, moving_bar(seed, 0, 12))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _python_blocks(page: str) -> list[str]:
    """The Python of a page, without pieces of frameworks that are not installed here."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_pages(page: str, folder: Path) -> None:
    blocks = _python_blocks(page)
    assert blocks, f"{page} has no example"
    for block in blocks:
        exec(compile(block, page, "exec"), {})


def _modules_with_examples() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(lift_flax.__path__, "lift_flax.")]
    files = {name: ROOT / f"{name.replace('.', '/')}.py" for name in names}
    found = [name for name, file in files.items() if file.is_file() and ">>> " in file.read_text(encoding="utf-8")]
    return [*(["lift_flax"] if ">>> " in (ROOT / "lift_flax" / "__init__.py").read_text() else []), *found]


@pytest.mark.parametrize("name", _modules_with_examples())
def test_docstrings(name: str, folder: Path) -> None:
    """Examples may name `workdir`, a finished run, and `video`, a file."""
    given = {"workdir": str(folder / RUNS[0]), "video": str(folder / VIDEOS[0])}
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=given, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
