"""All command lines take flags in the same spellings and report bad ones in one line."""

import subprocess
from pathlib import Path

import pytest

from lift_flax import command_line
from lift_flax.errors import UserError


def _parser() -> command_line.ArgumentParser:
    parser = command_line.parser("What it does.\n\n    an example", "lift-flax verb")
    parser.add_argument("--data_dir")
    parser.add_argument("names", nargs="*")
    return parser


@pytest.mark.parametrize("words", [["--data-dir=a_b-c"], ["--data_dir=a_b-c"], ["--data_dir", "a_b-c"]])
def test_flags_take_hyphens_and_underscores(words):
    assert _parser().parse_args(words).data_dir == "a_b-c"


def test_words_after_two_hyphens_stay_as_they_are(monkeypatch):
    monkeypatch.setattr("sys.argv", ["verb", "--data_dir=x", "--", "--a_b"])
    args = _parser().parse_args()
    assert (args.data_dir, args.names) == ("x", ["--a_b"])


@pytest.mark.parametrize("word", ["-3Babc.mp4", "-h2.mp4", "--exists_here.mp4"])
def test_names_that_begin_with_a_hyphen_come_after_two(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / word).touch()
    with pytest.raises(UserError, match=f"'{word}' is read as a flag: write -- before names that begin with a hyphen"):
        _parser().parse_args(["--data-dir=x", word])
    assert _parser().parse_args(["--data-dir=x", "--", word]).names == [word]
    assert _parser().parse_args(["--data-dir", "-1.5"]).data_dir == "-1.5"


def test_help_keeps_lines_and_shows_one_spelling():
    text = _parser().format_help()
    assert "\n    an example\n" in text and "--data-dir DATA_DIR" in text and "--data_dir" not in text


@pytest.mark.parametrize("words", [["--data=x"], ["--data-dirs=x"]])
def test_bad_flags_are_one_line(words):
    with pytest.raises(UserError, match=r"^unrecognized arguments: \S+ \(see lift-flax verb --help\)$"):
        _parser().parse_args(words)


def test_sub_parsers_do_the_same():
    parser = command_line.parser("", "lift-flax build")
    folder = parser.add_subparsers(dest="source", required=True).add_parser("folder")
    folder.add_argument("--max_frames", type=int)
    assert parser.parse_args(["folder", "--max-frames=3"]).max_frames == 3
    assert parser.parse_args(["folder", "--max_frames=3"]).max_frames == 3
    with pytest.raises(UserError, match="lift-flax build folder --help"):
        parser.parse_args(["folder", "--max_frames=many"])


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """An environment `bin` with a Python and a lift-flax; the current folder is the one that holds `bin`."""
    (tmp_path / "bin").mkdir()
    for name, text in (("python", ""), ("lift-flax", '#!/bin/sh\necho called with "$@"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bin"


def test_printed_commands_run_when_they_are_pasted(installed, monkeypatch, tmp_path):
    """Whether or not the environment is active, and whatever the names of files are."""

    def pasted(command: str) -> str:
        return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout

    words = ["predict", "--workdir=my run", "it's $HOME.mp4"]
    command = command_line.command(*words)
    assert command.startswith("bin/lift-flax predict ")
    assert pasted(command) == "called with predict --workdir=my run it's $HOME.mp4\n"
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    assert pasted(command_line.command(*words)).startswith("called with predict")
    monkeypatch.setenv("PATH", f"{installed}:/usr/bin:/bin")
    assert command_line.command(*words).startswith("lift-flax predict ")
    assert pasted(command_line.command(*words)).startswith("called with predict")


def test_printed_commands_of_a_checkout_that_is_not_installed(installed):
    (installed / "lift-flax").unlink()
    assert command_line.command("train") == f"{installed / 'python'} -m lift_flax.cli train"


def test_shares_are_read_as_percent():
    assert [command_line.percent(share) for share in (0.1234, 1.0, None)] == ["12.3 %", "100.0 %", "-"]
