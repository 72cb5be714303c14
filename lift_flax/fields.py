"""Trees of frozen dataclasses that state each field once, and nested dicts read into them, checked.

    class Light:
        gamma: Annotated[float, Bound(gt=0)] = 1.8  # a type, a bound, a default, and what it means

A field takes one of its `Literal` texts, a group of fields, three numbers (`tuple[float, ...]`, for R, G and B), or a
bool, int, float or text.
"""

import dataclasses
import difflib
import inspect
import math
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, TypeGuard

from lift_flax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Bound:
    """Where a number may lie: above `gt`, at least `ge`, below `lt` and at most `le`; of a tuple, each number."""

    gt: int | float | None = None
    ge: int | float | None = None
    lt: int | float | None = None
    le: int | float | None = None

    def problem(self, value: int | float) -> str:
        """Says what is wrong with `value`; empty where nothing is."""
        if (self.ge, self.le) == (0, 1) and not 0 <= value <= 1:
            return "it lies between 0 and 1"
        for bound, fails, words in (
            (self.gt, lambda bound: value <= bound, "it must be above"),
            (self.ge, lambda bound: value < bound, "it must not be below"),
            (self.lt, lambda bound: value >= bound, "it must be below"),
            (self.le, lambda bound: value > bound, "it must not be above"),
        ):
            if bound is not None and fails(bound):
                return f"{words} {bound:g}"
        return ""


@dataclasses.dataclass(frozen=True)
class Auto:
    """Marks a field that also takes the text "auto", and then is chosen later: `read` gives it its default."""


AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Added:
    """Marks a field that came later, and whose default differs from what was computed `before` it came."""

    before: Any


@dataclasses.dataclass(frozen=True)
class Was:
    """Marks a field that earlier versions wrote under another `name` of its group, and what its `values` mean now."""

    name: str
    values: dict[Any, Any]


def read(cls: type, values: dict, *, stored: bool = False) -> Any:
    """Makes a `cls` of nested `values`.  Fields that are missing take their defaults.

    Args:
      stored: `values` were written earlier, perhaps before some fields came or got their names: those take what their
        absence meant (`Added`) or what the earlier name held (`Was`), so that an old run computes what it did.

    Raises:
      UserError: an unknown field (with the nearest known one), a value of another type or beyond its bound.
    """
    values = _renamed(cls, values) if stored else values
    known = set(names(cls))
    for name in _names_in(cls, values, ""):
        if name not in known:
            raise UserError(unknown(cls, name, known))
    return _read(cls, values, "", stored)


def unknown(cls: type, name: str, known: Iterable[str]) -> str:
    """One line for a field that `cls` lacks: its dotted name, and its name of today or the nearest `known` one."""
    if now := _earlier_names(cls).get(name):
        return f"config.{name}: no such field; it is config.{now} now"
    last = name.rpartition(".")[2]
    near = [other for other in sorted(known) if other.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean config.{near[0]}?" if near else "lift_flax/config.py lists all fields"
    return f"config.{name}: no such field; {hint}"


def names(cls: type, prefix: str = "") -> Iterator[str]:
    """Yields the dotted name of every field that holds a value, such as "data.num_frames"."""
    for name, hint in typing.get_type_hints(cls).items():
        if _is_group(hint):
            yield from names(hint, f"{prefix}{name}.")
        else:
            yield prefix + name


def flat_fields(tree: Any) -> dict[str, Any]:
    """Every field of a tree by its dotted name: {"data.num_frames": 30, ...}."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if dataclasses.is_dataclass(value):
            flat.update({f"{field.name}.{name}": inner for name, inner in flat_fields(value).items()})
        else:
            flat[field.name] = value
    return flat


def meanings(cls: type, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yields (dotted name, default, meaning) of every field that holds a value.

    The meaning is the comment in the source of `cls`, after the values that a `Literal` takes.
    """
    hints, source = typing.get_type_hints(cls), inspect.getsource(cls)
    for field in dataclasses.fields(cls):
        name, hint = prefix + field.name, hints[field.name]
        if _is_group(hint):
            yield from meanings(hint, f"{name}.")
        else:
            choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
            choices += (AUTO,) if name in set(may_be_auto(cls, prefix)) else ()
            comment = re.search(rf"^    {field.name}: .*?  # (.*)$", source, re.MULTILINE)
            texts = (" | ".join(map(str, choices)), comment[1] if comment else "")
            yield name, field.default, "; ".join(filter(None, texts))


def set_to_auto(cls: type, values: dict) -> tuple[str, ...]:
    """The dotted names of the fields that nested `values` set to "auto", where a field takes it."""
    return tuple(name for name in may_be_auto(cls) if _at(values, name) == AUTO)


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def may_be_auto(cls: type, prefix: str = "") -> Iterator[str]:
    """Yields the dotted name of every field that takes "auto"."""
    for name, kind, marks in _declared(cls):
        if _is_group(kind):
            yield from may_be_auto(kind, f"{prefix}{name}.")
        elif Auto() in marks:
            yield prefix + name


def _declared(cls: type) -> Iterator[tuple[str, Any, list]]:
    """Yields (name, type, marks such as `Bound`) of every field and group of `cls`."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        kind, *marks = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        yield name, kind, marks


def _is_group(hint: Any) -> TypeGuard[type]:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _names_in(cls: type, values: dict, prefix: str) -> Iterator[str]:
    """Yields the dotted names of `values`, as deep as `cls` has groups."""
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        hint = hints.get(name)
        if not _is_group(hint):
            yield prefix + name
        elif isinstance(value, dict):
            yield from _names_in(hint, value, f"{prefix}{name}.")


def _read(cls: type, values: dict, prefix: str, stored: bool) -> Any:
    chosen = {}
    for own, kind, marks in _declared(cls):
        name = prefix + own
        if _is_group(kind):
            group = values.get(own, {})
            if not isinstance(group, dict):
                raise UserError(f"config.{name} is {group!r}: it is a group of fields")
            chosen[own] = _read(kind, group, f"{name}.", stored)
        elif own in values and Auto() in marks and values[own] == AUTO:
            continue  # the default stands there until records are known
        elif own in values:
            chosen[own] = _convert(kind, values[own], name)
            _check_bounds(marks, chosen[own], name)
        elif stored:
            chosen.update((own, mark.before) for mark in marks if isinstance(mark, Added))
    return cls(**chosen)


def _earlier_names(cls: type, prefix: str = "") -> dict[str, str]:
    """{dotted name that an earlier version had: that of today}"""
    found = {}
    for own, kind, marks in _declared(cls):
        if _is_group(kind):
            found |= _earlier_names(kind, f"{prefix}{own}.")
        found |= {f"{prefix}{mark.name}": prefix + own for mark in marks if isinstance(mark, Was)}
    return found


def _renamed(cls: type, values: dict) -> dict:
    """`values` under the names of today."""
    values = dict(values)
    for own, kind, marks in _declared(cls):
        if _is_group(kind):
            if isinstance(values.get(own), dict):
                values[own] = _renamed(kind, values[own])
            continue
        for mark in marks:
            if isinstance(mark, Was) and own not in values and mark.name in values:
                value = values.pop(mark.name)
                values[own] = mark.values.get(value, value)
    return values


def _check_bounds(marks: list, value: Any, name: str) -> None:
    for bound in (mark for mark in marks if isinstance(mark, Bound)):
        for number in value if isinstance(value, tuple) else (value,):
            if problem := bound.problem(number):
                raise UserError(f"config.{name} is {value}: {problem}")


def _convert(kind: Any, value: Any, name: str) -> Any:
    """`value` as a `kind`: integers become floats where floats are due, lists tuples; nothing else is converted."""
    if typing.get_origin(kind) is Literal:
        if value not in (choices := typing.get_args(kind)):
            raise UserError(f"config.{name} is {value!r}: choose one of {', '.join(map(str, choices))}")
        return value
    if typing.get_origin(kind) is tuple:
        numbers = isinstance(value, (list, tuple)) and all(type(v) in (int, float) and math.isfinite(v) for v in value)
        if not numbers or len(value) != 3:
            raise UserError(f"config.{name} is {value!r}: it takes three numbers, for R, G and B")
        return tuple(float(v) for v in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UserError(f"config.{name} is {value!r}: it takes a value of type {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise UserError(f"config.{name} is {value}: it takes a finite number")
    return value
