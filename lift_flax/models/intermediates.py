"""Named arrays from inside a forward pass: kept on request, and points to differentiate at.

    inside = Intermediates()
    outputs = student(dark, luminous, train=False, intermediates=inside)
    inside.arrays["levels/0/fusion/attention"]        # [B, N, T, T]

A name is the path of the module that makes the array, then what the array is.  A forward pass that is given no
`Intermediates` keeps nothing and computes nothing more, so training does not pay for them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Shaped


@dataclasses.dataclass(frozen=True)
class Intermediates:
    """What one forward pass leaves behind.

    Attributes:
      arrays: what the pass kept, by name.
      shifts: arrays to add, by the name and in the shape of the intermediate.  The gradient with respect to a shift of
        zeros is the gradient with respect to the intermediate.
      path: of the module that is being run, with a slash at its end.
    """

    arrays: dict[str, Any] = dataclasses.field(default_factory=dict)
    shifts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    path: str = ""


def keep(intermediates: Intermediates | None, name: str, x: Shaped[Array, "*dims"]) -> Shaped[Array, "*dims"]:
    """Names `x`, an array within a forward pass, and returns it, with its shift where there is one."""
    if intermediates is None:
        return x
    name = intermediates.path + name
    if name in intermediates.shifts:
        x = x + intermediates.shifts[name]
    intermediates.arrays[name] = x
    return x


def within(intermediates: Intermediates | None, module: str) -> Intermediates | None:
    """Returns `intermediates` for the sub-module called `module`: its names are put before those that it keeps."""
    if intermediates is None:
        return None
    return dataclasses.replace(intermediates, path=f"{intermediates.path}{module}/")
