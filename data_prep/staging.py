"""Transcodes many clips in parallel, each to a staged file, so that a build that is killed continues where it was.

A staged file is one line of JSON, then the encoded clip.  Its name is a digest of the settings and of the source's
path, size and modification time: a changed source or setting finds no staged file.  It appears by a rename, so it is
whole or absent.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from data_prep.transcode import transcode
from data_prep.video_list import Clip
from data_prep.worker import follow_parent
from lift_flax.data.decode import VideoError
from lift_flax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How clips are stored; see `data_prep.transcode.transcode`."""

    short_side: int
    max_frames: int | None
    crf: int
    gop: int = 8


@dataclasses.dataclass(frozen=True)
class StagedClip:
    """What is known about a staged clip without reading it; the fields are those of `Transcoded`."""

    path: Path
    num_frames: int
    fps: float
    mean_luma: float

    def data(self) -> bytes:
        """The encoded clip."""
        with self.path.open("rb") as file:
            file.readline()
            return file.read()


def stage(
    clips: list[Clip], folder: Path, encoding: Encoding, workers: int, advance: Callable[[], None]
) -> tuple[dict[str, StagedClip], dict[str, str]]:
    """Transcodes every clip that is not staged yet.

    Args:
      clips: what to transcode.
      folder: where staged files are; made if missing.
      encoding: settings of every clip.
      workers: number of processes.
      advance: called once for each clip that is done, staged before or not.

    Returns:
      The staged clips by id, and the reason by id of the clips that cannot be used.

    Raises:
      UserError: a process died.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = {clip.id: folder / _staged_name(clip.path, encoding) for clip in clips}
    staged = {id: found for id, target in targets.items() if (found := _read_header(target))}
    rejected: dict[str, str] = {}
    for _ in staged:
        advance()
    todo = [clip for clip in clips if clip.id not in staged]
    if not todo:
        return staged, rejected

    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(min(workers, len(todo)), context, initializer=follow_parent)
    try:
        futures = {executor.submit(_stage_one, clip.path, targets[clip.id], encoding): clip.id for clip in todo}
        for future in concurrent.futures.as_completed(futures):
            id, reason = futures[future], future.result()
            if reason is None:
                staged[id] = _read_header(targets[id])
            else:
                rejected[id] = reason
            advance()
    except BrokenProcessPool as error:
        raise UserError(
            f"a transcoding process died after {len(staged)} of {len(clips)} clips, perhaps for lack of memory; "
            "run the same command again with fewer --workers (what is done is kept)"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
    return staged, rejected


def _staged_name(source: Path, encoding: Encoding) -> str:
    try:
        status = source.stat()
        state = [status.st_size, status.st_mtime_ns]
    except OSError:
        state = []  # gone since the list was read: the worker will say so
    key = json.dumps([dataclasses.asdict(encoding), os.path.realpath(source), state])
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _read_header(path: Path) -> StagedClip | None:
    """The staged clip at `path`, or None when there is none or the disk lost a part of it."""
    try:
        with path.open("rb") as file:
            line = file.readline()
            size = os.fstat(file.fileno()).st_size
        header = json.loads(line)
        if size != len(line) + header.pop("bytes"):
            return None
    except (FileNotFoundError, ValueError):
        return None
    return StagedClip(path, **header)


def _stage_one(source: Path, target: Path, encoding: Encoding) -> str | None:
    """Runs in a worker.  Returns None, or why the source cannot be used."""
    try:
        clip = transcode(source, **dataclasses.asdict(encoding))
    except VideoError as error:
        return str(error)
    header = {"num_frames": clip.num_frames, "fps": clip.fps, "mean_luma": clip.mean_luma, "bytes": len(clip.data)}
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    partial.write_bytes(json.dumps(header).encode() + b"\n" + clip.data)
    os.replace(partial, target)
    return None
