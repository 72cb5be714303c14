"""From the folders and lists of a data set to its clips and splits: the data set NAME is read by `sources/NAME.py`.

A reader has one function.  With official lists (`DataSet.lists`) it is `read(lists, videos)`.  Where the split is
drawn it is `read(videos, csv_file=, test_share=, seed=)`, beside the default `TEST_SHARE`.
"""

import argparse
import importlib
import types
from typing import Any

from lift_flax.data_sets import DATA_SETS

from . import video_list
from .video_list import VideoList


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
        drawing = {key: getattr(args, key) for key in ("light", "seed", "train_per_class", "test_per_class", "height")}
        return read(args.out, old, workers=args.workers, **drawing)
    if DATA_SETS[args.source].lists is not None:
        videos = read(args.lists, args.videos)
        video_list.note_counts(videos)
        return videos
    options = {"group_regex": args.group_regex} if "group_regex" in args else {}
    return read(args.videos, csv_file=args.csv, test_share=args.test_share, seed=args.seed, **options)
