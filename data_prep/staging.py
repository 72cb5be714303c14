"""Transcodes many clips in parallel, each to a staged file, so that a killed build continues where it stopped.

A staged file is one line of JSON, then the parts of the encoded clip.  Its name is a digest of the settings and of the
path, size and modification time of the source, so a changed source or setting finds no staged file.  It appears by a
rename: it is whole or missing.
"""

import dataclasses
import errno
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from lift_flax.files import replacing
from lift_flax.video.decode import VideoError
from lift_flax.video.guarded import pool
from lift_flax.video.inspection import Inspection, coder_errors

from .check_parts import check_parts
from .sources.video_list import SourceClip
from .transcode import Encoding, transcode

_LARGEST = 2**31 - 2**20  # bytes: a record is one protocol buffer


@dataclasses.dataclass(frozen=True)
class StagedClip:
    """A staged clip, not yet read; the fields are those of `Transcoded`."""

    path: Path
    num_frames: int
    times: Float32[np.ndarray, "N"] = dataclasses.field(repr=False, compare=False)
    seconds: float
    fps: float
    source: Inspection
    flow_level: float
    flow_seconds: float
    sizes: dict[str, int | list[int]]  # bytes of each part, or of each member of a list

    def parts(self) -> dict[str, bytes | list[bytes]]:
        """Reads the encoded clip."""
        with self.path.open("rb") as file:
            file.readline()
            return {
                name: [file.read(n) for n in size] if isinstance(size, list) else file.read(size)
                for name, size in self.sizes.items()
            }


def stage(
    clips: list[SourceClip],
    folder: Path,
    encoding: Encoding,
    *,
    workers: int,
    time_limit: float,
    advance: Callable[[], None],
) -> tuple[dict[str, StagedClip], dict[str, str]]:
    """Transcodes every clip that is not staged yet.

    Args:
      clips: what to transcode.
      folder: of the staged files; made if missing.
      encoding: settings of every clip.
      workers: number of processes.
      time_limit: seconds that one clip may take.
      advance: called once for each finished clip, also for clips staged before.

    Returns:
      The staged clips by id, and the reasons by id for the clips that cannot be used.

    Raises:
      UserError: a process was killed from outside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = {clip.id: folder / _staged_name(clip.path, encoding) for clip in clips}
    staged: dict[str, StagedClip] = {}
    rejected: dict[str, str] = {}
    for id, target in targets.items():
        earlier = _read_staged(target)
        if isinstance(earlier, StagedClip):
            staged[id] = earlier
        elif isinstance(earlier, VideoError):
            rejected[id] = str(earlier)
        if earlier:
            advance()
    todo = {c.id: (c.path, targets[c.id], encoding) for c in clips if c.id not in staged and c.id not in rejected}
    for id, result in pool.run_each(_stage_one, todo, workers=workers, time_limit=time_limit):
        if isinstance(result, VideoError):
            rejected[id] = str(result)
        else:
            staged[id] = result
        advance()
    return staged, rejected


def bytes_staged(clips: list[SourceClip], folder: Path, encoding: Encoding) -> tuple[int, int]:
    """(Number of clips that are staged already, their bytes)."""
    paths = [folder / _staged_name(clip.path, encoding) for clip in clips]
    sizes = [path.stat().st_size for path in paths if path.exists()]
    return len(sizes), sum(sizes)


def _staged_name(source: Path, encoding: Encoding) -> str:
    try:
        status = source.stat()
        state = [status.st_size, status.st_mtime_ns]
    except OSError:
        state = []  # gone since the list was read: the worker reports it
    key = json.dumps([dataclasses.asdict(encoding), os.path.realpath(source), state])
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _read_staged(path: Path) -> StagedClip | VideoError | None:
    """The staged clip at `path`, or the reason why it was rejected; None if the file is missing or damaged."""
    try:
        with path.open("rb") as file:
            line = file.readline()
            size = os.fstat(file.fileno()).st_size
        header = json.loads(line)
        if "rejected" in header:
            return VideoError(header["rejected"])
        if size != len(line) + _total(header["sizes"]):
            return None
        source = header.pop("source")
        fields = {name: tuple(source[name]) for name in ("notes", "luma")} | {"times": np.array(source["times"])}
        times = np.array(header.pop("times"), np.float32)
        return StagedClip(path, times=times, source=Inspection(**{**source, **fields}), **header)
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # TypeError: staged by another version
        return None


def _total(sizes: dict[str, int | list[int]]) -> int:
    return sum(itertools.chain.from_iterable(s if isinstance(s, list) else [s] for s in sizes.values()))


def _stage_one(source: Path, target: Path, encoding: Encoding) -> StagedClip:
    """Stages one clip, in a worker.  Raises VideoError if the source is unusable, and keeps the reason."""
    try:
        with coder_errors():
            clip = transcode(source, encoding)
            check_parts(clip, encoding.codec)
    except VideoError as error:
        if not isinstance(error.__cause__, OSError | MemoryError):  # these may be faults of the machine
            _write(target, {"rejected": str(error)}, [])
        raise
    header: dict[str, Any] = {
        "num_frames": clip.num_frames,
        "times": clip.times.tolist(),
        "seconds": clip.seconds,
        "fps": clip.fps,
        "flow_level": clip.flow_level,
        "flow_seconds": clip.flow_seconds,
        "source": dataclasses.asdict(clip.source) | {"times": np.round(clip.source.times, 6).tolist()},
    }
    header["sizes"] = {n: [len(m) for m in p] if isinstance(p, list) else len(p) for n, p in clip.parts.items()}
    if (size := _total(header["sizes"])) > _LARGEST:
        raise VideoError(
            f"takes {size / 2**30:.1f} GiB, but a record holds less than 2; cut the video, or store fewer frames"
        )
    _write(target, header, clip.parts.values())
    staged = _read_staged(target)
    if not isinstance(staged, StagedClip):
        raise OSError(errno.EIO, "a file just written reads back otherwise", str(target))
    return staged


def _write(target: Path, header: dict[str, Any], parts: Iterable[bytes | list[bytes]]) -> None:
    """Writes a staged file, whole or not at all."""
    with replacing(target) as path, path.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for part in parts:
            file.writelines(part if isinstance(part, list) else [part])
