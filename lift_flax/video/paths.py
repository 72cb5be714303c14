"""Which files count as videos, and which of them a command line means."""

import collections
import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"}
)


def videos_below(root: Path) -> tuple[list[Path], collections.Counter[str]]:
    """(sorted video files below `root`, how many files have other endings); follows links, leaves out hidden names."""
    found = []
    seen: set[str] = set()
    others: collections.Counter[str] = collections.Counter()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        if (place := os.path.realpath(folder)) in seen:  # a link back to a folder above, or a second one to the same
            subfolders[:] = []
            continue
        seen.add(place)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        others.update(Path(n).suffix.lower() for n in names if Path(n).suffix.lower() not in VIDEO_SUFFIXES)
        files = [Path(folder, n) for n in names if Path(n).suffix.lower() in VIDEO_SUFFIXES and not n.startswith(".")]
        found += [path for path in files if not path.is_fifo() and not path.is_dir()]
    return sorted(found), others


def named_videos(words: list[str]) -> list[Path]:
    """Files by name, videos in folders, files that match a pattern, and for "-" those named on standard input.

    A name that leads to nothing is given back as it is: it will have its error in the right place.

    Raises:
      UserError: there is none at all.
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
