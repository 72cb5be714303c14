"""The flags of `lift-flax build`: one sub-command for each data set."""

import argparse
import contextlib
import os
import re
from pathlib import Path
from typing import Any

from lift_flax import command_line
from lift_flax.data_sets import DATA_SETS
from lift_flax.errors import UserError

from . import sources
from .sources import csv_lists


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the flags and fills in the defaults of the data set.  Raises UserError for a bad flag."""
    parser = command_line.parser("Turns videos into records.", "lift-flax build")
    _add_sources(parser.add_subparsers(dest="source", required=True), _common_flags())
    args = parser.parse_args(argv)
    data_set = DATA_SETS[args.source]
    if args.flow is None:
        args.flow = "dis" if data_set.flow else "none"
    _refuse_useless(args)
    if args.source == "night_figures":
        _fill_in_drawing(args)
    args.size = args.size or 256
    args.max_frames = {None: data_set.max_frames, "all": None}.get(args.max_frames, args.max_frames)
    if args.crf is None:
        args.crf = data_set.crf
    return args


def _refuse_useless(args: argparse.Namespace) -> None:
    """Raises UserError for a flag without effect."""
    if getattr(args, "unlabelled", False):
        names = [name for name in ("csv", *sources.OWN_SPLIT) if name != "group_regex"]
        if given := [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]:
            raise UserError(f"--unlabelled reads neither classes nor splits: leave out {' and '.join(given)}")
    useless = {"h264": [], "jpeg": ["crf"], "original": ["crf", "max_frames"]}[args.codec]
    if args.codec == "original" and args.flow == "none":
        useless.append("size")
    for name in useless:
        if getattr(args, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} has no effect with --codec={args.codec}: leave it out")


def _common_flags() -> argparse.ArgumentParser:
    """The flags of every data set."""
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--out", type=Path, required=True, help="folder that gets the records")
    common.add_argument("--workers", type=at_least(1), default=len(os.sched_getaffinity(0)), help="processes")
    common.add_argument("--size", type=at_least(16), help="short side in pixels; never enlarges (default 256)")
    common.add_argument("--crf", type=at_least(0, 51), help="x264 quality, lower is better (dark sets 15, else 18)")
    common.add_argument(
        "--max-frames", type=_frames, help="frames kept per clip, or 'all' (default 64, 300 of own videos)"
    )
    common.add_argument(
        "--codec", choices=("h264", "jpeg", "original"), default="h264", help="how frames are stored (default h264)"
    )
    common.add_argument(
        "--flow", choices=("none", "dis", "tvl1"), nargs="?", const="dis", help="optical flow stored with clips"
    )
    common.add_argument("--no-flow", action="store_const", const="none", dest="flow", help="the same as --flow=none")
    common.add_argument(
        "--on-bad",
        choices=("fail", "skip"),
        help="treatment of bad videos (default: leave out up to 1 in 100, and fail beyond that)",
    )
    common.add_argument("--time-limit", type=at_least(1), default=600, help="seconds for one video (default 600)")
    common.add_argument("--overwrite", action="store_true", help="replace a finished build of other settings")
    return common


def _add_sources(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds a sub-command for each data set."""
    for name, data_set in DATA_SETS.items():
        source = commands.add_parser(name, parents=[common], allow_abbrev=False, help=data_set.about)
        if name == "night_figures":
            _add_drawing(source)
        elif data_set.lists is not None:
            source.add_argument("--videos", type=Path, required=True, help="folder of the class folders")
            source.add_argument("--lists", type=Path, required=True, help=f"folder of the lists: {data_set.lists}")
        else:
            _add_own_split(source, sources.reader(name).TEST_SHARE)
        if name == "folder":
            about = "every video below --videos, of no class, for `lift-flax pretrain`"
            source.add_argument("--unlabelled", action="store_true", default=None, help=about)


def _add_own_split(source: argparse.ArgumentParser, test_share: float) -> None:
    """The flags of videos without official lists."""
    source.add_argument("--videos", type=Path, required=True, help="class folders, perhaps below train, val and test")
    source.add_argument("--csv", type=Path, help=f"CSV of {csv_lists.HEAD} instead of class folders")
    source.add_argument(
        "--ignore-columns", action="store_true", default=None, help="leave out the other columns of the CSV"
    )
    source.add_argument(
        "--class-level", type=at_least(1), help="which folder below --videos names the class, where two could: 1, 2 ..."
    )
    source.add_argument("--group-regex", help="its first capture group in a clip's path is the clip's group")
    source.add_argument("--test-share", type=_share, help=f"share of each class to test on (default {test_share:g})")
    source.add_argument("--seed", type=at_least(0), help="seed of the choice of test clips (default 0)")
    source.add_argument("--test-groups", metavar="A,B", help="test on the clips of these groups")
    source.add_argument(
        "--folds", type=_folds, metavar="K|groups", help="K folds of whole groups, or one fold a group (leave one out)"
    )


def _add_drawing(source: argparse.ArgumentParser) -> None:
    """The flags of rendered videos."""
    lights = ("dark", "day", "infrared")
    source.add_argument(
        "--scenes",
        choices=("room", "street"),
        default="room",
        help="room: a figure before a camera; street: anything goes",
    )
    source.add_argument("--light", choices=lights, help="that the figures move in, in a room (default dark)")
    source.add_argument("--seed", type=at_least(0), default=0, help="of scenes, actors and motions (default 0)")
    number = "clips of each action to {} on, in a room (default {})"
    source.add_argument("--train-per-class", type=at_least(1), help=number.format("train", 60))
    source.add_argument("--test-per-class", type=at_least(1), help=number.format("test", 12))
    source.add_argument("--clips", type=at_least(22), help="of the street, a tenth of them to test on (default 1500)")
    source.add_argument("--height", type=at_least(32), default=120, help="of the videos, pixels (default 120)")


_DRAWING = {  # flags of each scene set alone, and their defaults
    "room": {"light": "dark", "train_per_class": 60, "test_per_class": 12},
    "street": {"clips": 1500},
}


def _fill_in_drawing(args: argparse.Namespace) -> None:
    """Fills in the defaults of the scene set.  Raises UserError for a flag of the other one."""
    for scenes, flags in _DRAWING.items():
        for name, default in flags.items():
            if scenes == args.scenes and getattr(args, name) is None:
                setattr(args, name, default)
            elif scenes != args.scenes and getattr(args, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} has no effect with --scenes={args.scenes}: leave it out")


def at_least(low: int, high: int | None = None) -> Any:
    """An argparse type: an integer from `low` to `high`."""

    def whole_number(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < low or (high is not None and int(text) > high):
            limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return int(text)

    return whole_number


def _frames(text: str) -> int | str:
    return text if text == "all" else at_least(1)(text)


def _folds(text: str) -> int | str:
    if text == "groups":
        return text
    try:
        return at_least(2)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor 'groups'") from error


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.0 < float(text) < 1.0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1")
