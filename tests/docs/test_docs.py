"""The documents are true of the code: messages that they explain, files that they name."""

import ast
import configparser
import re

import pytest

from lift_flax.cli import VERBS
from tests import ROOT

SOURCES = [path for folder in ("configs", "data_prep", "lift_flax") for path in (ROOT / folder).rglob("*.py")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOREIGN = (
    "No matching distribution found",
    "ensurepip is not available",
    "devices: 1 x cpu",
)  # pip's and Debian's words


def _texts() -> list[str]:
    """Every string of the code, f-strings with `...` where a value stands."""
    texts = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.append(
                    "".join(getattr(part, "value", "") for part in node.values if isinstance(part, ast.Constant))
                )
    return texts


def _messages() -> list[str]:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    return [message for message in re.findall(r"^\| `([^`]*)`", text, re.MULTILINE) if not message.startswith(FOREIGN)]


def test_messages_are_those_of_the_code():
    texts, unknown = _texts(), []
    assert len(_messages()) > 30
    for message in _messages():
        fragments = [part.strip() for part in message.split("...") if len(part.strip()) > 3]
        if not any(all(part in text for part in fragments) for text in texts):
            unknown.append(message)
    assert not unknown


def _commands() -> list[str]:
    """`lift-flax ...` of all pages, a line each, without what a comment says."""
    text = "\n".join(page.read_text() for page in PAGES).replace("\\\n", " ")
    return [found.split("  #")[0] for found in re.findall(r"^lift-flax .*$|`(?=lift-flax )[^`]+`", text, re.MULTILINE)]


def test_verbs_and_flags_exist():
    known, unknown = set(_texts()), []
    known |= {text.lstrip("-").replace("-", "_") for text in known}
    assert len(_commands()) > 40
    for command in _commands():
        words = command.strip("`").split()[1:]
        verb = " ".join(words[:2]) if words and words[0] == "weights" else " ".join(words[:1])
        flags = [word.split("=")[0] for word in words if word.startswith("--") and not word.startswith("--config")]
        if not verb.startswith(("VERB", "--")) and verb not in VERBS:
            unknown.append(command)
        unknown += [command for flag in flags if flag != "--help" and flag[2:].replace("-", "_") not in known]
    assert not unknown


def test_order_of_rooms_is_the_contract():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    order = [set(re.findall(r"\w+", line)) for line in contracts["importlinter:contract:order"]["layers"].split("\n")]
    (stated,) = re.findall(r"```\n(cli, .*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert [set(re.findall(r"\w+", floor)) for floor in stated.split(">")] == [floor for floor in order if floor]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_exist(page):
    named = set(re.findall(r"`((?:configs|lift_flax|data_prep|tests|docs|benchmarks)/[\w/]+\.\w+)`", page.read_text()))
    assert not [path for path in sorted(named) if not (ROOT / path).is_file() and not path.endswith("/NAME.py")]
