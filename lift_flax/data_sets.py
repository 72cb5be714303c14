"""What videos records are built from: the data sets by name, and what the project must know about each.

A new data set takes three edits of code: its reader `data_prep/sources/NAME.py`, a line in `DATA_SETS`, its config
`configs/NAME.py`.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Facts about a data set.

    Attributes:
      about: what it is, in the help of `build`.
      num_classes: None for the user's own videos, whose classes are read from their folders.
      flow: whether the luminous stream takes optical flow, which records then hold unless --flow=none.
      config: the name in configs/ to train with.
      lists: names of the official lists; None where there are none and the split is drawn.
      max_frames: that a record keeps by default; frames in a row can be taken where it keeps all.
      crf: default quality of H.264 records; the dark needs a lower value.
    """

    about: str
    num_classes: int | None
    flow: bool
    config: str
    lists: str | None = None
    crf: int = 18
    max_frames: int = 64


DATA_SETS = {
    "arid": DataSet(
        "ARID, all official folds at once", 11, False, "arid", lists="ARID's, UG2+'s or DarkLight's", crf=15
    ),
    "hmdb51": DataSet(
        "HMDB51, all official folds at once", 51, True, "hmdb51", lists="CLASS_test_split1.txt to 3"
    ),
    "ucf101": DataSet(
        "UCF101, all official folds at once", 101, True, "ucf101",
        lists="classInd.txt, trainlist01.txt to 03 and testlist01.txt to 03",
    ),
    "infar": DataSet("InfAR, with a split drawn by seed", 12, True, "infar"),
    "folder": DataSet("your own videos, one folder for each class", None, True, "own", max_frames=300),
    "night_figures": DataSet("drawn figures in the dark, made here", 11, False, "demo", crf=15),
}  # fmt: skip


def different(one: str, other: str) -> bool:
    """Whether the two names are of two data sets with classes of their own; unknown names may mean any."""
    known = {name for name, data_set in DATA_SETS.items() if data_set.num_classes is not None}
    return one != other and {one, other} <= known
