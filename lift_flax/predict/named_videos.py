"""The videos that the command lines of `predict` and `explain` name."""

import argparse
import codecs
import glob
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lift_flax.command_line import say
from lift_flax.errors import UserError
from lift_flax.video.paths import PICTURE_SUFFIXES, is_address, picture_folders_below, videos_below

VIDEO = "file, pipe, folder of videos or of pictures, pattern, or - for paths on stdin"
FPS = "pictures per second of a folder of pictures (default: unknown, so that they are one clip)"


def frame_rate(text: str) -> float:
    """Frames per second, of a flag."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:  # false for NaN, too
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pictures per second, above 0")
    return rate


def named_videos(words: list[str]) -> list[Path | str]:
    """The videos that `words` name: files, folders, patterns, and "-" for paths on standard input.

    Of a folder, these are all videos below it; of one without videos, the folders of pictures.  A path that does not
    exist is returned as it is, so that its error is reported in its place; so is an address, as text.

    Raises:
      UserError: `words` name nothing, or standard input holds no paths.
    """
    videos = list(_named(words))
    if not videos:
        raise UserError("no videos: name files or folders, or '-' and give paths on standard input")
    return videos


def distinct_names(videos: Sequence[Path | str]) -> list[str]:
    """A name for what is made of each video: that of its file without extension, and a number where that is taken.

    Names of nothing but dots before the extension would lead to the folder itself, or out of it.
    """
    names: list[str] = []
    for stem in (Path(video).stem for video in videos):
        stem = stem if stem.strip(".") else "video"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _named(words: list[str]) -> Iterator[Path | str]:
    for word in words:
        path = Path(word)
        if word == "-":
            yield from _listed(sys.stdin.buffer)
        elif path.is_dir():
            yield from _in_folder(path)
        elif not path.exists() and glob.has_magic(word) and not is_address(word):
            matches = (Path(match) for match in sorted(glob.glob(word, recursive=True)))
            yield from [match for match in matches if not match.is_dir()] or [path]
        else:
            yield _path(word)


def _path(word: str) -> Path | str:
    """A path; an address stays as it is, because a path has no double slashes."""
    return word if is_address(word) else Path(word)


def _listed(lines: Iterable[bytes]) -> Iterator[Path | str]:
    for number, line in enumerate(lines):
        if number == 0:
            line = line.removeprefix(codecs.BOM_UTF8)
        if 0 in line:
            raise UserError("standard input holds no paths, one a line: for a video give /dev/stdin in place of -")
        if line.strip():
            yield _path(os.fsdecode(line.rstrip(b"\r\n")))


def _in_folder(folder: Path) -> Iterator[Path]:
    videos, others = videos_below(folder)
    pictures = sum(others[suffix] for suffix in PICTURE_SUFFIXES)
    if videos and pictures:
        say(f"{folder}: {pictures:,} pictures beside videos are left out; a folder that holds no videos is read as one")
    yield from videos or picture_folders_below(folder) or [folder]
