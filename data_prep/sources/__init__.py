"""From the folders and lists of a data set to its clips and splits: the data set NAME is read by `sources/NAME.py`.

A reader has one function.  With official lists (`DataSet.lists`) it is `read(lists, videos)`.  Where there are none it
takes the videos and the arguments of `folder.read`, beside the default `TEST_SHARE`.  `night_figures` draws its videos:
its `read(out, old, workers=, ...)` takes the settings of the drawing, and beside it `VERSIONS` say how they are drawn.
"""

import argparse
import importlib
import types
from typing import Any

from lift_flax.data_sets import DATA_SETS

from . import video_list
from .video_list import VideoList

# flags of videos without official lists, and arguments of their readers
OWN_SPLIT = ("ignore_columns", "class_level", "group_regex", "test_share", "seed", "test_groups", "folds")
# flags of videos that are drawn; those that are None belong to another scene set
DRAWING = ("scenes", "light", "seed", "train_per_class", "test_per_class", "clips", "height")


def reader(name: str) -> types.ModuleType:
    """The module that reads the data set `name`."""
    return importlib.import_module(f".{name}", __name__)


def read(args: argparse.Namespace, old: dict[str, Any] | None) -> VideoList:
    """Reads the clips and splits that the flags of `lift-flax build` name.

    Args:
      args: the flags.
      old: `prep_report.json` of an older build in the same folder.

    Raises:
      UserError: something is missing, or the lists contradict the videos.
    """
    read = reader(args.source).read
    if args.source == "night_figures":
        drawing = {key: getattr(args, key) for key in DRAWING if getattr(args, key) is not None}
        return read(args.out, old, workers=args.workers, **drawing)
    if DATA_SETS[args.source].lists is not None:
        videos = read(args.lists, args.videos)
        video_list.note_counts(videos)
        return videos
    if getattr(args, "unlabelled", False):
        return reader(args.source).read_unlabelled(args.videos, args.group_regex)
    return read(args.videos, csv_file=args.csv, **{name: getattr(args, name) for name in OWN_SPLIT})
