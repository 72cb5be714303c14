"""Which folder of a path names the class of a video, and which one its split: for folders as people arrange them."""

import dataclasses
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NoReturn

from lift_flax.errors import UserError, shown

from .video_list import some_of

_USUAL = re.compile(
    r"(?P<train>train|training)|(?P<val>val|valid|validation|validate)|(?P<test>test|testing|tests)", re.IGNORECASE
)
_ENDING = re.compile(r"[ _-]?(set|split|data|videos|clips)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the folders between a root and its videos mean; levels count from 1, the folders of the root.

    Attributes:
      class_level: of the folders that name classes.
      split_level: of the folders train, test and the like; None where there are none.
      splits: name of each of these folders -> "train", "test" or "val".
    """

    class_level: int
    split_level: int | None = None
    splits: dict[str, str] = dataclasses.field(default_factory=dict)

    def place(self, path: Path) -> tuple[str, str | None]:
        """(Name of the class folder, split or None) of a path below the root."""
        split = self.splits[path.parts[self.split_level - 1]] if self.split_level else None
        return path.parts[self.class_level - 1], split


def split_of(name: str) -> str | None:
    """The split that a folder or a cell of a CSV names, "train", "val" or "test", in any case; None for other names."""
    plain = _ENDING.sub("", unicodedata.normalize("NFKC", name).strip())
    match = _USUAL.fullmatch(plain)
    return match.lastgroup if match else None


def name_splits(names: Collection[str], where: str) -> dict[str, str]:
    """{name: split}.  Where there is no test split, the validation split is the test split; prints what it becomes.

    Args:
      names: each is one that `split_of` knows.
      where: what they are, for messages.

    Raises:
      UserError: two names mean one split.
    """
    splits: dict[str, str] = {}
    for name in sorted(names):
        kind = split_of(name)
        assert kind is not None
        if kind in splits.values():
            other = next(known for known, split in splits.items() if split == kind)
            raise UserError(f"{where} {other} and {name} are both the {kind} split: make them one")
        splits[name] = kind
    kinds = set(splits.values())
    if "test" not in kinds and "val" in kinds:
        (val,) = (name for name, split in splits.items() if split == "val")
        print(f"{where} {', '.join(splits)}: none is named test, so {val} is the test split")
        splits[val] = "test"
    elif "val" in kinds:
        print(f"{where} {', '.join(splits)}: training takes the validation split to choose its checkpoints")
    return splits


def find_layout(paths: Sequence[Path], root: Path, class_level: int | None = None) -> Layout:
    """Finds out what the folders above the videos mean.

    Folders with the usual names of splits are splits, on the first level or on the second; the class folders lie on the
    other one.  Without them the folders of the root are the classes, if a video lies directly in one of them.  What
    else there is could be read in two ways, and is asked.

    Args:
      paths: of the videos, below `root`.
      root: the folder, for messages.
      class_level: the user's answer.

    Raises:
      UserError: a video is in no class folder, or it is open which level is the class.
    """
    folders = [path.parts[:-1] for path in paths]
    found = _split_level(folders, root, class_level)
    split_level, splits = found or (None, {})
    level = class_level or (2 if split_level == 1 else 1)
    for path, above in zip(paths, folders, strict=True):
        if len(above) < level or (split_level and len(above) < split_level):
            place = root / Path(*above[: level - 1], *["CLASS"] * max(1, level - len(above)), path.name)
            raise UserError(f"{shown(root / path)} is in no class folder; expected {shown(place)}")
    if class_level is None and min(map(len, folders)) > max(level, split_level or 0):
        _ask(folders, paths[0], root, level, split_level)
    return Layout(level, split_level, splits)


def _split_level(
    folders: Sequence[tuple[str, ...]], root: Path, class_level: int | None
) -> tuple[int, dict[str, str]] | None:
    """(Level of the folders that are splits, the split of each); None if there are none."""
    first = {above[0] for above in folders if above}
    first |= {folder.name for folder in root.iterdir() if folder.is_dir() and split_of(folder.name)}
    kinds = {split_of(name) for name in first} - {None}
    if class_level != 1 and kinds:
        others = sorted(name for name in first if not split_of(name))
        if "train" in kinds and len(kinds) > 1 and others:
            splits = " and ".join(sorted((name for name in first if split_of(name)), reverse=True))
            raise UserError(
                f"{shown(root / others[0])} is beside the folders {splits}; move it into a class folder of one of "
                "them, or give --class-level=1 if all of these are classes"
            )
        if not others and all(folders):
            if not {"train"} < kinds:
                lacking = "test" if "train" in kinds else "train"
                raise UserError(
                    f"{shown(root)} has only one of the folders train and test, {min(first)}; add a folder {lacking}, "
                    "or point at its classes"
                )
            return 1, name_splits(first, f"the folders of {shown(root)}:")
    if class_level != 2 and not kinds and all(len(above) > 1 for above in folders):
        second = {above[1] for above in folders}
        if len({split_of(name) for name in second} - {None}) > 1 and all(map(split_of, second)):
            return 2, name_splits(second, f"the folders in the class folders of {shown(root)}:")
    return None


def _ask(folders: Sequence[tuple[str, ...]], first: Path, root: Path, level: int, split_level: int | None) -> NoReturn:
    """Raises UserError: the class may be on two levels."""
    lower = next(number for number in (level + 1, level + 2) if number != split_level)
    upper_names, lower_names = ({above[number - 1] for above in folders} for number in (level, lower))
    upper, below = first.parts[level - 1], first.parts[lower - 1]
    if len(upper_names) == 1 and not split_level:
        answer = f"point --videos at {shown(root / Path(*first.parts[:level]))}, or give --class-level={lower}"
    else:
        answer = f"answer with --class-level={level} or --class-level={lower}, or name folders of splits train and test"
    raise UserError(
        f"is the class of {shown(root / first)} {shown(upper)!r} or {shown(below)!r}?  There are folders "
        f"{some_of(upper_names)}, and in them {some_of(lower_names)}: {answer}"
    )
