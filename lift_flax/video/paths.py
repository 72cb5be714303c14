"""Which files are videos, and which videos a command line names."""

import collections
import glob
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lift_flax.errors import UserError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"}
)


def videos_below(
    root: Path, unreadable: Callable[[OSError], None] | None = None
) -> tuple[list[Path], collections.Counter[str]]:
    """(Sorted video files below `root`, number of files by each other ending).  Follows links, skips hidden names.

    Two links to one folder are two folders.  A link to a folder above is not followed, and below a folder that was
    read before no link to another such folder is.

    Args:
      root: where to look.
      unreadable: called with the error of a folder that cannot be listed, which is skipped.
    """
    videos = []
    seen: set[str] = set()
    others: collections.Counter[str] = collections.Counter()
    # The real folders above each folder that is still to be read, and whether it was read before.
    above: dict[str, tuple[frozenset[str], bool]] = {}
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        place = os.path.realpath(folder)
        parents, again = above.pop(folder, (frozenset(), False))
        if place in parents or (again and place in seen and os.path.islink(folder)):
            subfolders[:] = []
            continue
        again = again or place in seen
        seen.add(place)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        below = (parents | {place}, again)
        above |= {os.path.join(folder, name): below for name in subfolders}
        others.update(Path(n).suffix.lower() for n in names if Path(n).suffix.lower() not in VIDEO_SUFFIXES)
        files = [Path(folder, n) for n in names if Path(n).suffix.lower() in VIDEO_SUFFIXES and not n.startswith(".")]
        videos += [path for path in files if not path.is_fifo() and not path.is_dir()]
    return sorted(videos), others


def named_videos(words: list[str]) -> list[Path]:
    """The videos that `words` name: files, folders with videos, patterns, and "-" for paths on standard input.

    A path that does not exist is returned as it is, so that its error is reported in its place.

    Raises:
      UserError: `words` name nothing.
    """
    videos = list(_named(words))
    if not videos:
        raise UserError("no videos: name files or folders, or '-' and give paths on standard input")
    return videos


def _named(words: list[str]) -> Iterator[Path]:
    for word in words:
        if word == "-":
            lines = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
            yield from (Path(line) for line in lines if line.strip())
            continue
        path = Path(word)
        if path.is_dir():
            yield from videos_below(path)[0] or [path]
        elif not path.exists() and glob.has_magic(word):
            matches = (Path(match) for match in sorted(glob.glob(word, recursive=True)))
            yield from [match for match in matches if not match.is_dir()] or [path]
        else:
            yield path
