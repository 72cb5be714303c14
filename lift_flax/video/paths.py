"""Which files are videos, and which folders are."""

import codecs
import collections
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lift_flax.video.stand_ins import stand_in

VIDEO_SUFFIXES = frozenset(
    {
        ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
        ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
    }
)  # fmt: skip
PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_ALSO_SOURCES = frozenset({".mts", ".ts"})  # transport streams, and programs in TypeScript
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # of a network; a drive has one letter


def is_video(path: Path) -> bool:
    """Whether a file is a video by its ending; where programs have that ending too, also by its first bytes."""
    suffix = path.suffix.lower()
    if suffix not in _ALSO_SOURCES:
        return suffix in VIDEO_SUFFIXES
    return not _is_text(path) or stand_in(path) is not None


def _is_text(path: Path) -> bool:
    """Whether a file begins with text, in UTF-8 or UTF-16; a transport stream has zeros in its first packet."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:  # it is reported where it is used
        return False
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        return bool(codecs.getincrementaldecoder("utf-8")().decode(head)) and 0 not in head
    except UnicodeDecodeError:
        return False


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
    others: collections.Counter[str] = collections.Counter()
    for folder, names in _walk(root, unreadable):
        for name in names:
            path = folder / name
            if path.suffix.lower() not in VIDEO_SUFFIXES:
                others[path.suffix.lower()] += 1
            elif name.startswith(".") or not _may_be_file(path):
                continue
            elif is_video(path):
                videos.append(path)
            else:
                others[f"{path.suffix.lower()} with text in it"] += 1
    return sorted(videos), others


def picture_folders_below(root: Path) -> list[Path]:
    """Folders that hold two pictures or more, `root` among them, in the order of their numbers."""
    found = [folder for folder, names in _walk(root) if len(_pictures(names)) > 1]
    return sorted(found, key=lambda folder: [by_number(part) for part in folder.parts])


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of their numbers: 2.png before 10.png.  Skips hidden names."""
    return [folder / name for name in sorted(_pictures(os.listdir(folder)), key=by_number)]


def _pictures(names: Iterable[str]) -> list[str]:
    return [name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")]


def by_number(name: str) -> tuple[list[str | int], str]:
    """The key that sorts names by the numbers in them: g2 before g10."""
    parts = re.split("([0-9]+)", name.casefold())  # text and digits in turn
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _may_be_file(path: Path) -> bool:
    """A file, or a link whose file is missing, which is reported where it is used."""
    return path.is_file() or not path.exists()


def _walk(root: Path, unreadable: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """(Folder, names of its files) of `root` and all folders below it, as `videos_below` follows them."""
    seen: set[str] = set()
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
        yield Path(folder), names


def why_no_file(path: str) -> str | None:
    """Why `path` is nothing that can be read as a file, and what to do instead; None if it may be one."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        if not is_address(path):
            return None
        return "an address, and only files are read: save it first (ffmpeg -i ADDRESS -t 60 -c copy clip.mkv)"
    if (real := os.path.realpath(path)).startswith(("/dev/null", "/dev/tty", "/dev/pts/")):
        what = "empty" if real == "/dev/null" else "a terminal"
        return f"{what}: write a video to it (ffmpeg ... | lift-flax predict ... /dev/stdin)"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return (
            "a device, and only files are read: record it first (ffmpeg -f v4l2 -i DEVICE -t 60 clip.mkv), or push "
            "the frames of a camera to run.stream()"
        )
    return "a socket, and only files are read" if stat.S_ISSOCK(mode) else None


def is_address(text: str) -> bool:
    """Whether `text` is an address of a network, and no path that exists."""
    return _ADDRESS.match(text) is not None and not os.path.lexists(text)
