"""The network that comes with lift_flax: small, whole, with a card, and without a word of the machine that made it."""

import json
import re
from pathlib import Path

import pytest

from lift_flax.runs.package import contents
from lift_flax.runs.places import SHIPPED_FOLDER
from lift_flax.runs.trained import open_trained

MOST = 8 * 10**6  # bytes
ELSEWHERE = re.compile(r"(?<![\w.<:/])/(?:home|root|tmp|work|mnt|data|Users|srv|opt|var)/|[A-Z]:\\\\")  # paths


@pytest.fixture(params=["shipped", "packed"])
def folder(request) -> Path:
    """The real one where it is there, and that of the tests, so that this file says what it means."""
    if request.param == "packed":
        return request.getfixturevalue("packed")
    if not (SHIPPED_FOLDER / "model.safetensors").is_file():
        pytest.skip(f"no network in {SHIPPED_FOLDER}")
    return SHIPPED_FOLDER


def test_it_is_small_whole_and_says_nothing_of_its_maker(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST
    trained = open_trained(folder)
    assert trained.packed and len(trained.classes) > 1
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: ") and "## Limits" in card and "## Scores" in card
    assert all(name in card for name in trained.classes)
    for name in (contents.CONFIG, contents.FACTS, contents.CARD, contents.RESULTS):
        if (folder / name).exists():
            assert not ELSEWHERE.search((folder / name).read_text(encoding="utf-8")), name
    config = json.loads((folder / "config.json").read_text())
    places = [config["data"]["dir"], *(config["train"][name] for name in ("init_from", "teacher_from"))]
    assert [*places, *(config["model"][part]["init_from"] for part in ("teacher", "pvit"))] == [""] * 5


def test_paths_of_a_machine_are_seen():
    assert ELSEWHERE.search('"dir": "/home/me/records"') and ELSEWHERE.search('"C:\\\\me"')
    assert not ELSEWHERE.search("https://huggingface.co/data/x 3/4 hf://owner/name and/or ...")
