"""Reads a JSON object that this project wrote, and says where it is damaged."""

import json
from pathlib import Path
from typing import Any

from lift_flax.errors import UserError, shown, system_reason


def read_object(path: Path, shape: dict[Any, Any], remedy: str) -> dict[str, Any]:
    """The JSON object in `path`, which this project wrote.

    Args:
      shape: {name: shape} of the parts that it must have; others may be beside them.  A shape is a type, None, a tuple
        of shapes of which one fits, [shape] for a list, {name: shape} for an object again, or {str: shape} for an
        object with any names.
      remedy: what to do where it is damaged.

    Raises:
      UserError: the file is missing or damaged, or has another shape.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, system_reason(error), remedy) from error
    return as_object(text, path, shape, remedy)


def as_object(text: bytes, path: Path, shape: dict[Any, Any], remedy: str) -> dict[str, Any]:
    """The JSON object that `text` is, the content of `path`; all else is as of `read_object`."""
    try:
        stated = json.loads(text.decode())
        fault = _misfit(stated, shape, "")
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error), remedy) from error
    if fault:
        raise _unreadable(path, fault, remedy)
    return stated


def _unreadable(path: Path, fault: str, remedy: str) -> UserError:
    return UserError(f"{path} is missing or damaged ({shown(fault)}): {remedy}")


def _misfit(value: Any, shape: Any, name: str) -> str | None:
    """Where `value`, the part `name`, has not that shape; None where it has."""
    if isinstance(shape, tuple):
        return None if any(_misfit(value, one, name) is None for one in shape) else f"{name} is damaged"
    if isinstance(shape, dict) and isinstance(value, dict):
        parts = {part: shape[str] for part in value} if str in shape else shape
        if missing := [part for part in parts if part not in value]:
            return f"no {missing[0]}" + (f" in {name}" if name else "")
        return next((fault for part in parts if (fault := _misfit(value[part], parts[part], part))), None)
    if isinstance(shape, list) and isinstance(value, list):
        return next((fault for member in value if (fault := _misfit(member, shape[0], name))), None)
    if shape is None:
        fits = value is None
    else:
        fits = isinstance(shape, type) and isinstance(value, shape) and isinstance(value, bool) <= (shape is bool)
    return None if fits else (f"{name} is damaged" if name else "no object")
