"""Reads InfAR: infrared clips of twelve actions, fifty each.

No official split exists.  Publications draw one, commonly 30 clips of each class to train on and 20 to test on.  Here
the seed of the draw is one of the settings of a build.
"""

import collections
from pathlib import Path
from typing import Any

from lift_flax.data_sets import DATA_SETS

from . import folder
from .video_list import VideoList

CLIPS_PER_CLASS = 50
TEST_SHARE = 0.4


def read(videos: Path, **flags: Any) -> VideoList:
    """Reads class folders, or a CSV, and prints where the numbers of classes and clips differ from InfAR's.

    Args:
      videos, flags: as `folder.read`.

    Raises:
      UserError: as `folder.read`.
    """
    result = folder.read(videos, **flags, default_share=TEST_SHARE)
    counts = collections.Counter(clip.label for clip in result.clips)
    if len(result.classes) != (known := DATA_SETS["infar"].num_classes):
        print(f"{videos} has {len(result.classes)} classes; InfAR has {known}")
    for label, name in enumerate(result.classes):
        if counts[label] != CLIPS_PER_CLASS:
            print(f"class {name} has {counts[label]} clips; InfAR has {CLIPS_PER_CLASS}")
    return result
