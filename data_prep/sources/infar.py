"""Reads InfAR: infrared clips of twelve actions, fifty each.

No official split exists.  Works on it draw one by class, commonly 30 to train on and 20 to test; here the seed of the
draw is part of the build's settings.
"""

import collections
from pathlib import Path

from lift_flax.data.data_sets import DATA_SETS

from . import folder
from .video_list import VideoList

CLIPS_PER_CLASS = 50
TEST_SHARE = 0.4


def read(
    videos: Path, *, csv_file: Path | None = None, test_share: float | None = None, seed: int | None = None
) -> VideoList:
    """Reads class folders, or a CSV of path,label and perhaps split, as one fold; prints counts that are not InfAR's.

    Raises:
      UserError: as `folder.read`.
    """
    result = folder.read(videos, csv_file=csv_file, test_share=test_share, seed=seed, default_share=TEST_SHARE)
    counts = collections.Counter(clip.label for clip in result.clips)
    if len(result.classes) != (known := DATA_SETS["infar"].num_classes):
        print(f"{videos} has {len(result.classes)} classes; InfAR has {known}")
    for label, name in enumerate(result.classes):
        if counts[label] != CLIPS_PER_CLASS:
            print(f"class {name} has {counts[label]} clips; InfAR has {CLIPS_PER_CLASS}")
    return result
