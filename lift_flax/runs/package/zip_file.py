"""Reads the .zip of a package: names that lead nowhere else, and sizes that are what they say."""

import contextlib
import dataclasses
import errno
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError, shown

_MOST_MEMBERS = 64
_MOST_TIMES = 50  # that it grows by when it is unpacked: weights hardly shrink in a .zip
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclasses.dataclass(frozen=True)
class Member:
    """A file in a .zip that is open.

    Attributes:
      size: bytes that it has when it is unpacked; no more are ever read.
    """

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    size: int

    def unpack(self, path: Path) -> Path:
        """Writes the file to `path`; returns that.  Raises UserError where it is damaged."""
        with _damage_reported(Path(str(self.archive.filename))):
            with self.archive.open(self.info) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
        return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[dict[str, Member]]:
    """Yields the files in a .zip by their names, without those that a system adds, or the one folder that holds all.

    Raises:
      UserError: it is no .zip or damaged; a name leads elsewhere; it would grow too much.
    """
    with contextlib.ExitStack() as held:
        with _damage_reported(path):
            archive = held.enter_context(zipfile.ZipFile(path))
        yield {name: Member(archive, info, info.file_size) for name, info in _members(path, archive).items()}


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise UserError(f"{path} holds {len(infos)} files, more than any package: refused, and nothing was unpacked")
    for info in infos:
        _check_kind(path, info)
    size, packed = sum(info.file_size for info in infos), path.stat().st_size
    if size > _MOST_TIMES * packed:
        raise UserError(
            f"{path} would grow from {packed:,} to {size:,} bytes: refused as a zip bomb, and nothing was unpacked"
        )
    files = [info for info in infos if not info.is_dir() and not _is_of_a_system(info.filename)]
    tops = {info.filename.partition("/")[0] for info in files}
    above = f"{tops.pop()}/" if len(tops) == 1 and all("/" in info.filename for info in files) else ""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in files:
        name = info.filename.removeprefix(above)
        if name in found:
            raise UserError(f"{path} holds {shown(name)} twice: refused, and nothing was unpacked")
        found[name] = info
    return found


def _check_kind(path: Path, info: zipfile.ZipInfo) -> None:
    """Raises UserError for a name that leads out of the .zip, and for what is no plain file."""
    name, mode = info.filename, info.external_attr >> 16
    if not name or name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
        raise UserError(f"{path} holds {shown(name)}, a path that leads out of it: refused, and nothing was unpacked")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{path} holds {shown(name)}, which is a link: refused, and nothing was unpacked")
    if info.flag_bits & 0x1:
        raise UserError(f"{path} is encrypted: give it without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"{path} holds {shown(name)} in a rare compression: pack it again with zip's usual one")


def _is_of_a_system(name: str) -> bool:
    """Whether it is one of the files that systems put beside others, such as .DS_Store."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".")


@contextlib.contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_FAULTS, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of a disk
            raise
        with path.open("rb") as file:
            pickled = file.read(2) in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        if pickled:
            raise UserError(
                f"{path} is a pickle, which may run code when it is opened: refused, and not opened"
            ) from error
        raise UserError(
            f"{path} is no .zip of a package, or damaged ({shown(str(error) or type(error).__name__)}): copy or "
            "download it again"
        ) from error
