"""Every command of the documents, and of the help that commands print, is one that its verb takes."""

import ast
import contextlib
import functools
import io
import re
from collections.abc import Iterator

import pytest

from lift_flax import cli, config_flags
from lift_flax.data_sets import DATA_SETS
from tests import ROOT
from tests.docs.test_docs import PAGES, SOURCES

PARTS = {"build": tuple(DATA_SETS)}  # verbs with a parser for each of their first words
MODULES = {module.removesuffix(".__main__"): verb for verb, module in cli.VERBS.items()}
FLAG = re.compile(r"--[a-z][\w.-]*")


def _lines(texts: list[str]) -> Iterator[str]:
    """Commands, without what a comment says: lines of a block or of a docstring, and what stands in backticks."""
    for text in texts:
        for found in re.findall(r"^ *((?:lift-flax|python) .*)$|`((?:lift-flax|python) [^`]+)`", text, re.MULTILINE):
            yield "".join(found).replace("\n", " ").split("  #")[0].rstrip()


@functools.cache
def _commands() -> tuple[str, ...]:
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    scripts = (path for folder in ("benchmarks", "examples") for path in (ROOT / folder).glob("*.py"))
    modules = [path.read_text(encoding="utf-8") for path in (*SOURCES, *scripts)]
    docstrings = [ast.get_docstring(ast.parse(text)) or "" for text in modules]
    return tuple(_lines([text.replace("\\\n", " ") for text in (*pages, *docstrings)]))


def _verb(words: list[str]) -> str:
    """The verb that `lift-flax WORDS` or `python -m MODULE WORDS` starts; empty for another program."""
    if words[0] == "lift-flax":
        return " ".join(words[1:3] if words[1:2] == ["weights"] else words[1:2])
    module = words[2] if words[1:2] == ["-m"] else ""
    return MODULES.get(module, MODULES.get(module.removeprefix("lift_flax."), ""))


@functools.cache
def _flags(*words: str) -> frozenset[str]:
    """Every flag that stands at the start of a line of the help of `lift-flax WORDS`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return frozenset(re.findall(r"^ +(?:-\w, )?(--[\w.-]+)", out.getvalue(), re.MULTILINE))


def test_verbs_and_their_flags_exist():
    started, unknown = [_verb(command.split()) for command in _commands()], []
    assert set(cli.VERBS) <= set(started)
    for command, verb in zip(_commands(), started, strict=True):
        words = command.split()
        if verb not in cli.VERBS:
            unknown += [command] if words[0] == "lift-flax" and not re.match("VERB|--|$", verb) else []
            continue
        parts = PARTS.get(verb, ())
        chosen = [[part] for part in parts if part in words] or [[part] for part in parts] or [[]]
        known = frozenset.intersection(*(_flags(*verb.split(), *part) for part in chosen)) | {"--help"}
        for flag in FLAG.findall(command):
            name = flag.rstrip(".") if flag.startswith("--config.") else flag.replace("_", "-")
            unknown += [f"{name} of {command}"] if name not in known else []
    assert not unknown


def test_configs_exist():
    ours = [command for command in _commands() if _verb(command.split())]
    named = {name for command in ours for name in re.findall(r"--config[= ]([\w/.]+)", command)}
    assert len(named) > 5
    known = config_flags.names()
    assert not [n for n in named if n not in known and not (ROOT / n).is_file() and n not in ("NAME", "FILE.py")]


@pytest.mark.parametrize("verb", ["audit", "build", "export"])
def test_flags_are_those_of_the_verb_alone(verb):
    """What this file rests on: the flags of one verb are no flags of another."""
    parts = PARTS.get(verb, ())
    assert "--out" in _flags(verb, *parts[:1]) and "--views" not in _flags(verb, *parts[:1])


def _options(script: str) -> str:
    """The code of a script and of the files beside it that it imports."""
    path = ROOT / script
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    beside = [path.with_name(f"{name}.py") for name in re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)]
    return "".join([text, *(other.read_text(encoding="utf-8") for other in beside if other.is_file())])


def test_scripts_and_their_flags_exist():
    unknown = []
    for command in _commands():
        if script := re.match(r"python ((?:benchmarks|docs|examples)/\w+\.py)", command):
            named = re.findall(r'"(--[\w-]+)"', _options(script[1]))
            unknown += [f"{flag} of {command}" for flag in FLAG.findall(command) if flag not in named]
            unknown += [] if (ROOT / script[1]).is_file() else [command]
    assert not unknown
