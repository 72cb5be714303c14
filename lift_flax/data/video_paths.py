"""Which videos a command line means."""

import glob
import sys
from collections.abc import Iterator
from pathlib import Path

from lift_flax.data.decode import VIDEO_SUFFIXES


def find_videos(words: list[str]) -> Iterator[Path]:
    """Files by name, those in folders that are named like videos, those that match a pattern, and those on stdin.

    A name that leads to nothing is given back as it is: it will have its error in the right place.
    """
    for word in words:
        if word == "-":
            yield from (Path(line.rstrip("\n")) for line in sys.stdin if line.strip())
            continue
        path = Path(word)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
            yield from inside or [path]
        elif not path.exists() and glob.has_magic(word):
            yield from [Path(match) for match in sorted(glob.glob(word, recursive=True))] or [path]
        else:
            yield path
