"""Fields that are "auto": each gets its value from what `build` measured of the records, with the reason.

Nothing else of the clips is looked at, and no label: how many frames there are, how bright, whether flow is stored and
how strong.  Flow, windows and their number, and the start were chosen on validation clips (docs/results.md).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from lift_flax.config import Config
from lift_flax.config_checks import check_combinations
from lift_flax.data.records import Records
from lift_flax.errors import UserError
from lift_flax.video import flow_codes

_WINDOWS = 5  # of a test clip
_SECONDS = 1.0  # of a window
_DEVIATIONS = 3  # most pixels do not move, and those that do are not to be huge
_LEAST_STD = 0.01  # of coded flow, whose steps are 0.004
_DARK = 40.0  # luma of a clip that was filmed at night, at most: ARID's have 17, daylight has some 125
_SHIPPED = "shipped"  # the network that comes with lift_flax
_SHIPPED_TEACHER = "r2plus1d_tiny"  # its R(2+1)D, on optical flow
_CACHE_BYTES = 4 * 2**30
_ASPECT = 4 / 3  # of a usual frame: what a clip keeps of a row beyond its square


class Choice(NamedTuple):
    """The value of a field, and why."""

    value: Any
    reason: str


def choose(config: Config, records: Records) -> tuple[Config, list[str]]:
    """`config` with a value for each of its fields that are "auto", and a line on each.

    Raises:
      UserError: the values do not fit the fields that were set.
    """
    names = {name for name in config.auto.split(",") if name}
    lines = []
    for name in sorted(names, key=list(_RULES).index):  # a later rule may look at what an earlier one chose
        value, reason = _RULES[name](config, records)
        config = _replaced(config, name.split("."), value)
        shown = f"{value:g}" if isinstance(value, float) else value
        lines.append(f"{name}={shown}: {reason}")
    config = dataclasses.replace(config, auto="")
    if names:
        check_combinations(config)
    return config, lines


def refuse_auto(config: Config) -> None:
    """Raises UserError where a field is "auto" and there are no records to choose by."""
    if config.auto:
        name = config.auto.split(",")[0]
        raise UserError(f"config.{name} is auto, and only training on records chooses it: set it to a value")


def _input(config: Config, records: Records) -> Choice:
    if records.has_flow:
        return Choice("flow", "the records hold optical flow, the better input for few clips")
    return Choice("motion", "the records hold no optical flow, so differences of frames stand for it")


def _flow_std(config: Config, records: Records) -> Choice:
    default = Config().model.luminous.flow_std
    if not config.model.luminous.takes_flow:
        return Choice(default, "the network takes no optical flow")
    if records.flow_pixels is None:
        return Choice(default, "the records do not say how strong their flow is: build them again for its own value")
    level = records.flow_pixels * flow_codes.STEPS / flow_codes.FLOW_RANGE / 255  # of codes in [0, 1]
    value = float(f"{min(max(_DEVIATIONS * level, _LEAST_STD), default):.3g}")
    return Choice(value, f"the flow of these clips is {records.flow_pixels:.2g} pixels long in the mean of squares")


def _sampling(config: Config, records: Records) -> Choice:
    if records.all_frames:
        return Choice("window", "the records hold every frame of each clip, so motion is seen as it is")
    return Choice("segments", "the records lack frames of long clips (build with --max-frames=all for windows)")


def _window_seconds(config: Config, records: Records) -> Choice:
    if config.data.sampling != "window":
        return Choice(0.0, "the frames are spread over the whole clip")
    if config.data.stride > 1:
        return Choice(0.0, f"data.stride={config.data.stride} says how long a window is")
    return Choice(_SECONDS, "of windows of half a second to a second and a half the best on validation clips")


def _test_windows(config: Config, records: Records) -> Choice:
    if config.data.sampling == "window":
        return Choice(_WINDOWS, "a test clip is answered by the mean over windows")
    return Choice(1, "the frames are spread over the whole clip")


def _cache(config: Config, records: Records) -> Choice:
    if config.data.workers > 0:
        return Choice("none", "loader processes decode ahead")
    if records.frames is None:
        return Choice("none", "the records do not say how many frames they hold")
    channels = 5 if config.model.luminous.takes_flow else 3
    needed = records.frames * config.data.size**2 * _ASPECT * channels
    if needed <= _CACHE_BYTES:
        return Choice("memory", f"all decoded clips take about {needed / 2**20:,.0f} MiB")
    return Choice("none", f"all decoded clips would take about {needed / 2**30:,.1f} GiB")


def _start(config: Config, records: Records) -> Choice:
    model = config.model
    if records.luma is None:
        return Choice("", "random weights, since the records do not say how bright their clips are")
    if records.luma > _DARK:
        return Choice("", f"random weights, which do as well by day (the median clip has a luma of {records.luma:.0f})")
    if model.luminous.input != "flow" or model.teacher.name != _SHIPPED_TEACHER:
        return Choice("", f"random weights, since the {_SHIPPED} network has another R(2+1)D")
    return Choice(_SHIPPED, f"few dark clips teach little by themselves (the median has a luma of {records.luma:.0f})")


_RULES: dict[str, Callable[[Config, Records], Choice]] = {
    "model.luminous.input": _input,
    "model.luminous.flow_std": _flow_std,
    "data.sampling": _sampling,
    "data.window_seconds": _window_seconds,
    "data.test_windows": _test_windows,
    "data.cache": _cache,
    "train.init_from": _start,
}


def _replaced(group: Any, path: list[str], value: Any) -> Any:
    """A tree of dataclasses with one field set."""
    first, *rest = path
    return dataclasses.replace(group, **{first: _replaced(getattr(group, first), rest, value) if rest else value})
