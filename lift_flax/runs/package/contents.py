"""Which files a package holds; all others are refused by name, and so are missing ones."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lift_flax.errors import UserError, shown
from lift_flax.runs.config_file import PACKED
from lift_flax.runs.package import zip_file

CONFIG, FACTS, CARD, RESULTS = "config.json", "run.json", "README.md", "results.json"
REQUIRED = (PACKED, CONFIG, FACTS, CARD)
KNOWN = (*REQUIRED, RESULTS, "LICENSE", "NOTICE")
AGAIN = "copy or download it again, or write it anew with lift-flax export --format=package"
MOST_TEXT = 16 * 2**20  # bytes of any file but the arrays

_PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")


def is_package(path: Path) -> bool:
    """Whether `path` is to be read as a package, whole or not, rather than as a workdir."""
    if not path.is_dir():
        return path.exists()
    is_workdir = any((path / phase).is_dir() for phase in ("teacher", "student", "pretrain"))
    return (path / PACKED).exists() or ((path / CARD).exists() and (path / CONFIG).exists() and not is_workdir)


@contextlib.contextmanager
def opened(place: Path) -> Iterator[dict[str, Path]]:
    """Yields the files of a package by their names; those of a .zip lie in a temporary folder for the block.

    Raises:
      UserError: it is no package, lacks a file, holds another one, or a .zip that is not safe to unpack.
    """
    if place.is_dir():
        files = {path.name: path for path in place.iterdir() if not path.name.startswith(".")}
        check_names(place, [*files])
        _check_sizes(place, {name: path.stat().st_size for name, path in files.items()})
        yield files
        return
    with zip_file.opened(place) as members:
        check_names(place, [*members])
        _check_sizes(place, {name: member.size for name, member in members.items()})
        with tempfile.TemporaryDirectory(prefix="lift_flax-") as folder:
            yield {name: member.unpack(Path(folder) / name) for name, member in members.items()}


def check_names(place: Path, names: list[str]) -> None:
    """Raises UserError where the files of `place` are not those of a package."""
    for name in names:
        if name.lower().endswith(_PICKLES):
            raise UserError(
                f"{place} holds {shown(name)}, a kind of file that may run code when it is opened: refused, and not "
                "opened; a package holds tensors and text alone"
            )
    if missing := [name for name in REQUIRED if name not in names]:
        raise UserError(f"{place} is no whole package of a run: it lacks {', '.join(missing)}; {AGAIN}")
    if extra := [name for name in names if name not in KNOWN]:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise UserError(
            f"{place} holds {shown(min(extra))}{more}, which is no part of a package: take it out (a package holds "
            f"{', '.join(KNOWN)})"
        )


def _check_sizes(place: Path, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        if name != PACKED and size > MOST_TEXT:
            raise UserError(
                f"{place}: {name} has {size / 2**20:,.0f} MiB, and may have {MOST_TEXT / 2**20:.0f}: {AGAIN}"
            )
