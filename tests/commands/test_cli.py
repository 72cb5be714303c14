"""One command with all verbs; it loads only what the chosen one needs."""

import importlib
import json
import re
import resource
import subprocess
import sys

import pytest

from lift_flax import cli, fields
from lift_flax.config import Config
from lift_flax.errors import UserError
from tests import ROOT


def test_help_lists_every_verb_in_one_line(capsys):
    cli.main(["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for verb in cli.VERBS:
        assert sum(line.startswith(f"{verb} ") for line in lines) == 1
    cli.main([])
    assert capsys.readouterr().out.splitlines()[0] == "usage: lift-flax VERB ...        lift-flax VERB --help"


def test_help_loads_nothing_and_is_quick():
    program = "import sys, json; from lift_flax import cli; cli.main(['--help']); print(json.dumps(list(sys.modules)))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert not loaded & {"jax", "numpy", "absl", "ml_collections", "argparse", "lift_flax.main", "lift_flax.config"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_a_module_with_a_main_and_help(verb, capsys):
    assert callable(cli.module(verb).main)
    try:
        cli.main([*verb.split(), "--help"])
    except SystemExit as end:  # argparse's way to end after its help
        assert end.code == 0
    assert f"lift-flax {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["train", "pretrain", "plan", "ablate"])
def test_help_explains_every_field_of_a_config(verb, capsys):
    cli.main([verb, "--help"])
    listed = capsys.readouterr().out.partition("fields of the config")[2].splitlines()[1:]
    lines = [line.split(maxsplit=1) for line in listed]
    said = {line[0].partition("=")[0]: line[1:] for line in lines}
    assert set(said) == {f"--config.{name}" for name in fields.names(Config)}
    assert not [name for name, meaning in said.items() if not meaning or re.fullmatch(r"\w+( \| \w+)+", *meaning)]
    assert said["--config.data.num_frames"] == ["T, frames of a clip"]
    assert said["--config.model.pvit.gelu"] == [
        "exact | tanh | quick; exact is PyTorch's, tanh is Google's, quick is OpenAI's CLIP's"
    ]


@pytest.mark.parametrize(("words", "message"), [
    (["trian"], r"^'trian' is not a verb of lift-flax: did you mean `lift-flax train`\?$"),
    (["xyz"], "^'xyz' is not a verb of lift-flax: choose one of build, darken, audit, train, "),
    (["weights"], "lift-flax weights to-torch"),
    (["predict", "--workdri=x"], r"see lift-flax predict --help"),
])  # fmt: skip
def test_mistakes_are_one_line(words, message):
    with pytest.raises(UserError, match=message):
        cli.main(words)


def test_an_unknown_verb_ends_with_code_2():
    ran = subprocess.run([sys.executable, "-m", "lift_flax.cli", "trian"], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: 'trian' is not a verb of lift-flax: did you mean `lift-flax train`?\n"


def test_underscores_are_taken_in_verbs():
    assert cli._split(["weights", "to_torch", "--to=x"]) == ("weights to-torch", ["--to=x"])
    importlib.import_module("lift_flax.weights.to_torch")
