"""The flags of command lines that take a config: --config=NAME, or a path, and --config.FIELD=VALUE for any field.

NAME is a file of configs/, which lie beside the package in a checkout and inside it where it is installed.
"""

import difflib
import re
import sys
import textwrap
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from lift_flax import fields
from lift_flax.command_line import spell, with_underscores
from lift_flax.config import Config
from lift_flax.errors import UserError

_PACKAGE = Path(__file__).parent
_FIELD = re.compile(r"--config\.([\w.]+)")


def arguments_of(argv: list[str] | None) -> list[str]:
    """The words of a command line, `argv` or the process's own, as absl takes them: the program's name first.

    Flags get underscores, names of configs become paths.

    Raises:
      UserError: a config or a field of it that does not exist, with the nearest that does.
    """
    words = spell(sys.argv[1:] if argv is None else argv, with_underscores)
    known = set(fields.names(Config))
    for place, word in enumerate(words):
        if word.startswith("--config="):
            words[place] = f"--config={_path(word.partition('=')[2])}"
        elif word == "--config" and place + 1 < len(words):
            words[place + 1] = _path(words[place + 1])
        elif (match := _FIELD.match(word)) and not any(f"{name}.".startswith(f"{match[1]}.") for name in known):
            raise UserError(fields.unknown(Config, match[1], known))
    return [sys.argv[0], *words]


def names() -> dict[str, Path]:
    """The configs that --config takes by name, and their files."""
    installed, checkout = _PACKAGE / "configs", _PACKAGE.parent / "configs"
    files = (installed if installed.is_dir() else checkout).glob("[a-z]*.py")
    return {path.stem: path for path in sorted(files) if path.stem != "common"}


def define_config(values: flags.FlagValues, arguments: list[str]) -> None:
    """Defines --config among `values`, with a flag for every field of it that `arguments` set."""
    config_flags.DEFINE_config_file(
        "config",
        None,
        f"experiment: NAME[:PRESET][,key=value...] with a NAME of {', '.join(names())}, or FILE.py of your own instead "
        "of a name; --config.FIELD=VALUE sets any of its fields",
        flag_values=values,
        sys_argv=arguments,
        lock_config=True,
    )


_VALUES = {  # what the flags library says of a value: what it takes
    "Non-boolean argument": "True or False",
    r"invalid literal for int\(": "a whole number",
    "could not convert string to float": "a number",
}


def parse(values: flags.FlagValues, arguments: list[str]) -> dict:
    """Parses `arguments` (see `arguments_of`) into `values` and returns what --config holds, as nested dicts.

    Raises:
      UserError: for anything in the flags, or in the config file, that is wrong.
    """
    try:
        rest = values(arguments)
        nested = values.config and values.config.to_dict()
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(_one_line(error)) from error
    except (ImportError, NameError, OSError, SyntaxError) as error:
        raise UserError(f"cannot read the config file: {_one_line(error)}") from error
    if len(rest) > 1:
        raise UserError(
            f"'{rest[1]}' is not a flag: write --config=NAME, and several values of one flag with commas (--help)"
        )
    if nested is None:
        raise UserError(f"--config=NAME is needed: {', '.join(names())}, or the path of a file (see --help)")
    return nested


def help_text(doc: str | None, values: flags.FlagValues) -> str:
    """`doc`, every flag of `values` with its meaning and default, and the same of every field of a config."""
    lines = [(doc or "").strip(), "", "flags:"]  # python -OO drops docstrings
    for flag in sorted((flag for listed in values.flags_by_module_dict().values() for flag in listed), key=_order):
        if flag.name in ("flagfile", "undefok"):  # absl's own
            continue
        default = f" (default {flag.default})" if flag.default not in (None, False, "", []) else ""
        text = f"  --{flag.name.replace('_', '-'):<16} {' '.join(flag.help.split())}{default}"
        lines += textwrap.wrap(text, 110, subsequent_indent=" " * 21, break_on_hyphens=False)
    lines += ["", "fields of the config, with their defaults:"]
    for name, default, meaning in fields.meanings(Config):
        value = f"{default:.6g}" if isinstance(default, float) else default
        lines.append(f"  --config.{f'{name}={value}':<40} {meaning}".rstrip())
    return "\n".join(lines)


def _order(flag: flags.Flag) -> tuple[bool, str]:
    return flag.name != "config", flag.name


def _path(text: str) -> str:
    """The value of --config with the path of its file in place of a name.  Raises UserError where there is no file."""
    name, colon, argument = text.partition(":")
    known = names()
    if name in known:
        return f"{known[name]}{colon}{argument}"
    if name.endswith(".py") and Path(name).is_file():
        return text
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    hint = f"did you mean --config={near[0]}?" if near else f"choose one of {', '.join(known)}, or the path of a file"
    raise UserError(f"cannot read the config file {name}: no such file or name; {hint}")


def _one_line(error: Exception) -> str:
    """What is wrong, without the traceback that a flags library may put into its message."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    if isinstance(error, (AttributeError, KeyError)):  # ConfigDict escapes and quotes its own message
        words = re.sub(r"\\n|[\\'\"]", " ", text).split()
        return f"the config has no such field: {' '.join(words)}"
    if "Traceback" in text:
        return text.splitlines()[-1].removeprefix("ValueError: ")
    for theirs, ours in _VALUES.items():
        text = re.sub(rf": .*{theirs}.*", f": write {ours}", text, flags=re.DOTALL)
    return " ".join(text.split())
