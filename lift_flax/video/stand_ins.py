"""What lies in the place of a video and is none: a pointer to it, a link to nowhere, a page of the web."""

import os
from pathlib import Path

_ANNEX = (b"/annex/objects/", b".git/annex/objects/")
_HEAD_BYTES = 512


def stand_in(source: str | Path) -> str | None:
    """What the file is and how to get the video, in a few words; None where it is nothing that is known here."""
    if os.path.islink(source) and not os.path.exists(source):
        target = os.readlink(source)
        fetch = "; fetch it with `git annex get`" if ".git/annex/" in target else ""
        return f"a link to a missing file ({ascii(target)[1:-1]}{fetch})"
    if not os.path.isfile(source):
        return None
    try:
        with open(source, "rb") as file:
            head = file.read(_HEAD_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return None
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer, not the video itself; fetch it with `git lfs pull`"
    if head.startswith(_ANNEX):
        return "a git-annex pointer, not the video itself; fetch it with `git annex get`"
    if head[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not a video; download the video again"
    return None


def animated_webp(source: bytes | str | Path) -> bool:
    """Whether an image is a WebP of several pictures."""
    if isinstance(source, bytes):
        head = source[:21]
    else:
        with open(source, "rb") as file:
            head = file.read(21)
    return len(head) == 21 and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
