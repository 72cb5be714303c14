"""Flags that hold a config, and one-line messages for bad ones."""

from absl import flags
from ml_collections import config_flags

from lift_flax.errors import UserError


def define_config(values: flags.FlagValues, arguments: list[str]) -> None:
    """Defines --config among `values`, with a flag for every field of it that `arguments` set."""
    config_flags.DEFINE_config_file(
        "config",
        None,
        "experiment: configs/NAME.py[:PRESET][,key=value...]; --config.FIELD=VALUE sets any of its fields",
        flag_values=values,
        sys_argv=arguments,
        lock_config=True,
    )


def parse(values: flags.FlagValues, arguments: list[str]) -> dict:
    """Parses `arguments` (the program's name first) into `values` and returns what --config holds, as nested dicts.

    Raises:
      UserError: for anything in the flags, or in the config file, that is wrong.
    """
    try:
        rest = values(arguments)
        nested = values.config and values.config.to_dict()
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(one_line(error)) from error
    if len(rest) > 1:
        raise UserError(f"'{rest[1]}' is not a flag: write --config=FILE (--help explains all flags)")
    if nested is None:
        raise UserError("--config=configs/NAME.py is needed (--help explains all flags)")
    return nested


def one_line(error: Exception) -> str:
    """What a flags library says about a bad flag, without the traceback that it may carry in its message."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if isinstance(error, (AttributeError, KeyError)):
        words = text.replace("\\n", " ").replace("\\", "").replace("'", " ").replace('"', " ").split()
        return f"config has no such field: {' '.join(words)} (configs/common.py lists all)"
    if isinstance(error, OSError):
        return f"cannot read the config file: {text.strip().splitlines()[-1].strip()} (run from the project's folder)"
    if "Traceback" in text:
        return text.strip().splitlines()[-1].removeprefix("ValueError: ")
    return " ".join(text.split())
