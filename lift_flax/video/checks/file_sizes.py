"""What the headers of a file say of its size and of its end, which FFmpeg does not pass on.

FFmpeg drops the length of a WMV whose size is not the one in its header, and reads the first of several MP4, FLV or WMV
files that were joined byte by byte without a word about the others.
"""

import contextlib
import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_LIVE = 1  # the flag of a broadcast, whose header was written before its end was known
_EBML_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067
_FLV_SIZE = re.compile(rb"\x00\x08filesize\x00(.{8})", re.DOTALL)
_HEAD = 1 << 16  # bytes in which a header is looked for
_PARTS = 1000  # parts of a header that are looked at, so that damage costs no time


class FileSize(NamedTuple):
    """What a header says.

    Attributes:
      there: bytes of the file.
      promised: bytes that its header gives it, 0 where it gives none.
      seconds: at which the header of a WMV ends it, 0 where it names none, as that of a live recording.
      joined: whether another file follows, which FFmpeg does not read.
    """

    there: int
    promised: int = 0
    seconds: float = 0.0
    joined: bool = False

    @property
    def cut(self) -> bool:
        """Whether bytes are missing at the end."""
        return self.there < self.promised


def of(source: bytes | str | Path, container: str) -> FileSize:
    """Reads the headers of `source`; `container` is FFmpeg's name of its kind."""
    read = next((read for name, read in _READERS.items() if name in container), None)
    if not isinstance(source, bytes) and not os.path.isfile(source):  # a pipe, which would be read from
        return FileSize(0)
    with _opened(source) as file:
        there = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            return read(file, there) if read else FileSize(there)
        except (struct.error, ValueError, OverflowError, IndexError):  # the header itself is cut off, or damaged
            return FileSize(there)


@contextlib.contextmanager
def _opened(source: bytes | str | Path) -> Iterator[io.BufferedIOBase]:
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        yield file


def _skip(file: io.BufferedIOBase, count: int, there: int) -> None:
    """Goes forward, but not behind the end of the file: damaged headers name places without bound."""
    file.seek(min(file.tell() + max(count, 0), there))


def _asf(file: io.BufferedIOBase, there: int) -> FileSize:
    """The File Properties Object: ASF specification, section 3.2."""
    file.seek(30)  # identity and size of the header, number of its objects
    for _ in range(_PARTS):
        identity, size = struct.unpack("<16sQ", file.read(24))
        if identity == _ASF_PROPERTIES:
            promised, length, preroll, flags = struct.unpack("<16xQ16xQ8xQI", file.read(68))
            if flags & _ASF_LIVE or not promised:
                break
            file.seek(min(promised, there))
            joined = file.read(16) == _ASF_HEADER
            return FileSize(there, promised, max(length / 1e7 - preroll / 1e3, 0.0), joined)
        _skip(file, size - 24, there)
    return FileSize(there)


def _matroska(file: io.BufferedIOBase, there: int) -> FileSize:
    """The size of the segment; a live one has none."""
    for _ in range(_PARTS):
        identity, size = _vint(file, marked=True), _vint(file, marked=False)
        if identity not in (_EBML_HEADER, _SEGMENT) or size is None:
            break
        if identity == _SEGMENT:
            return FileSize(there, file.tell() + size)
        _skip(file, size, there)
    return FileSize(there)


def _vint(file: io.BufferedIOBase, *, marked: bool) -> int | None:
    """A number of EBML, with the bit that marks its length or without; None for the one that stands for unknown."""
    first = file.read(1)[0]
    length = 9 - first.bit_length()
    whole = int.from_bytes(bytes([first]) + file.read(length - 1), "big")
    number = whole & ((1 << 7 * length) - 1)
    if marked:
        return whole
    return None if number == (1 << 7 * length) - 1 else number


def _flv(file: io.BufferedIOBase, there: int) -> FileSize:
    """The size in the metadata, and where the tags end."""
    found = _FLV_SIZE.search(file.read(_HEAD))
    promised = int(struct.unpack(">d", found[1])[0]) if found else 0
    file.seek(9 + 4)  # the header, and the size of no tag
    while len(tag := file.read(11)) == 11:
        if tag.startswith(b"FLV\x01"):
            return FileSize(there, promised, joined=True)
        if tag[0] & 0x1F not in (8, 9, 18):  # sound, video, data
            break
        _skip(file, int.from_bytes(tag[1:4], "big") + 4, there)
    return FileSize(there, promised)


def _mov(file: io.BufferedIOBase, there: int) -> FileSize:
    """A second index, which FFmpeg passes over; the size of the file is that of its boxes."""
    indices = 0
    for _ in range(_PARTS):
        head = file.read(8)
        if len(head) < 8:
            break
        size, name = struct.unpack(">I4s", head)
        indices += name == b"moov"
        body = size - 8
        if size == 1:
            body = struct.unpack(">Q", file.read(8))[0] - 16
        if body < 0:  # also of a box that reaches to the end of the file
            break
        _skip(file, body, there)
    return FileSize(there, joined=indices > 1)


_READERS: dict[str, Callable[[io.BufferedIOBase, int], FileSize]] = {
    "asf": _asf, "matroska": _matroska, "flv": _flv, "mov": _mov,
}  # fmt: skip
