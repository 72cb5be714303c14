"""One training example from one record: sampled, decoded, scaled and cropped, on the host.

Loader worker processes unpickle and run this, so it must never import JAX.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lift_flax.errors import UserError
from lift_flax.video import sampling
from lift_flax.video.decode import VideoError, decode_flow, decode_frames, decode_jpegs

Batch = dict[str, np.ndarray]
Example = dict[str, Any]  # a row of a batch; its id is text
Parts = dict[str, np.ndarray]  # "clip" uint8 [T,H,W,3], perhaps "flow" uint8 [T,H,W,2]
Cache = dict[tuple[int, int, bool], Parts]


class ClipReader:
    """Reads, samples and decodes clips by row.  Picklable, so that loader processes can have their own.

    Args:
      folder: the TFDS folder.
      rows: (id, position in the records, label) of every clip that it may be asked for.
      num_frames: T.
      size: px, side of the square frames.
      flow: whether examples hold optical flow beside the frames.
      cache: keeps decoded clips, whole; None decodes each time.

    Raises:
      UserError: the records are damaged, when made and when read.
    """

    def __init__(
        self,
        folder: Path,
        rows: list[tuple[str, int, int]],
        num_frames: int,
        size: int,
        flow: bool,
        cache: Cache | None,
    ):
        self.folder, self.rows, self.frames, self.size, self.flow, self.cache = (
            folder, rows, num_frames, size, flow, cache,
        )  # fmt: skip
        try:
            self.source = tfds.builder_from_directory(folder).as_data_source("all")
        except Exception as error:  # whatever a damaged file makes the readers raise
            raise damaged(folder, error) from error

    def train(self, row: int, rng: np.random.Generator) -> Example:
        """A random frame of each segment, at a random place along the longer side."""
        count, decode = self._open(row)
        parts = decode(sampling.train_indices(count, self.frames, rng))
        return self._example(row, parts, *rng.random(2))

    def eval(self, row: int, view: sampling.View = sampling.CENTRE) -> Example:
        """One view of a clip; a negative row is padding of weight 0."""
        count, decode = self._open(max(row, 0))
        parts = decode(sampling.eval_indices(count, self.frames, view.phase))
        example = self._example(max(row, 0), parts, view.share, view.share)
        example["weight"] = np.float32(row >= 0)
        return example

    def _open(self, row: int) -> tuple[int, Callable[[np.ndarray], Parts]]:
        """(number of stored frames, function from frame indices to their parts, of short side `size`)."""
        key = (self.rows[row][1], self.size, self.flow)
        if self.cache is not None:
            whole = self.cache.get(key)
            if whole is None:
                whole = self.cache[key] = self._decode(row, self._record(row), None)
            return len(whole["clip"]), lambda indices: {name: part[indices] for name, part in whole.items()}
        record = self._record(row)
        return int(record["num_frames"]), lambda indices: self._decode(row, record, indices)

    def _decode(self, row: int, record: dict, indices: np.ndarray | None) -> Parts:
        try:
            if "frames" in record:
                parts = {"clip": decode_jpegs(record["frames"], indices, self.size)}
            else:
                parts = {"clip": decode_frames(record["video"], indices, self.size)}
            if self.flow:
                parts["flow"] = decode_flow(record["flow"], indices, parts["clip"].shape[2:0:-1])
        except VideoError as error:
            raise UserError(
                f"record {self.rows[row][0]} does not decode ({error}): build the records again with --overwrite"
            ) from error
        return parts

    def _record(self, row: int) -> dict:
        clip_id, position, label = self.rows[row]
        try:
            record = self.source[position]
            found = (record["id"].decode(), int(record["label"]))
        except Exception as error:  # whatever a damaged file makes the readers raise
            raise damaged(self.folder, error) from error
        if found != (clip_id, label):
            raise UserError(
                f"folds.json says {(clip_id, label)} where the records have {found}: build them again with --overwrite"
            )
        return record

    def _example(self, row: int, parts: Parts, share_y: float, share_x: float) -> Example:
        clip_id, _, label = self.rows[row]
        y, x = sampling.crop_origin(*parts["clip"].shape[1:3], self.size, share_y, share_x)
        cropped = {  # [T, size, size, C]
            name: np.ascontiguousarray(part[:, y : y + self.size, x : x + self.size]) for name, part in parts.items()
        }
        return {**cropped, "label": np.int32(label), "weight": np.float32(1), "id": clip_id}


def damaged(path: Path, error: Exception) -> UserError:
    """What to tell of a file of records that cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{path} is missing or damaged ({reason}): build the records again with --overwrite")
