"""The documents are true of the code: messages that they explain, files that they name."""

import ast
import configparser
import re
from pathlib import Path

import pytest

from tests import ROOT

SOURCES = [path for folder in ("configs", "data_prep", "lift_flax") for path in (ROOT / folder).rglob("*.py")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOREIGN = (
    "No matching distribution found",
    "ensurepip is not available",
    "devices: 1 x cpu",
)  # pip's and Debian's words


def _texts() -> list[str]:
    """Every string of the code but docstrings, f-strings with a null where a value stands."""
    texts = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.append("".join(p.value if isinstance(p, ast.Constant) else "\0" for p in node.values))
    return texts


def _messages() -> list[str]:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return [message for message in re.findall(r"^\| `([^`]*)`", text, re.MULTILINE) if not message.startswith(FOREIGN)]


def _occurs(message: str, texts: list[str]) -> bool:
    """Whether one of the texts holds the parts of a message in their order, with something at each `...` between."""
    pattern = re.compile(".+".join(re.escape(part) for part in message.strip(".").strip().split("...")), re.DOTALL)
    return any(pattern.search(text) for text in texts)


def test_messages_are_those_of_the_code():
    texts = _texts()
    assert len(_messages()) > 30
    assert not [message for message in _messages() if not _occurs(message, texts)]


@pytest.mark.parametrize("message", ["config: ... field ...", "field ... no such", "has one class only"])
def test_messages_that_no_code_prints_are_seen(message):
    assert not _occurs(message, ["config.\0: no such field; \0", "\0 has one class"])


def test_order_of_rooms_is_the_contract():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    order = [set(re.findall(r"\w+", line)) for line in contracts["importlinter:contract:order"]["layers"].split("\n")]
    (stated,) = re.findall(r"```\n(cli, .*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert [set(re.findall(r"\w+", floor)) for floor in stated.split(">")] == [floor for floor in order if floor]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_exist(page):
    folders = "configs|lift_flax|data_prep|tests|docs|benchmarks|examples"
    named = set(re.findall(rf"`((?:{folders})/[\w/]+\.\w+)`", page.read_text()))
    assert not [path for path in sorted(named) if not (ROOT / path).is_file() and not path.endswith("/NAME.py")]


def test_figures_of_the_readme_have_their_commands_beside_them():
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    measured = re.compile(r"\d (?:%|s\b|ms\b|[MG]iB)|\d,\d{3}")
    figures = [paragraph for paragraph in text.split("\n\n") if measured.search(paragraph)]
    assert len(figures) > 1
    assert not [text for text in figures if not re.search(r"`(?:make|lift-flax|python) [^`]+`", text)]


def test_the_version_is_the_same_everywhere_and_has_its_changes():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    version = settings["metadata"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" and re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", headings[1])


def _sections(page: Path) -> set[str]:
    """The names by which links find the sections of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}


def test_links_lead_to_sections():
    links = []
    for page in PAGES:
        for target, section in re.findall(r"\]\(([\w/.-]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
            links.append((page.name, target, section, (page.parent / target).resolve() if target else page))
    assert len(links) > 50
    assert [(page, target, section) for page, target, section, to in links if section not in _sections(to)] == []
