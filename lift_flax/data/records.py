"""From the records on disk to batches of uint8 clips on the host.

The order of training examples is a pure function of a global counter: shuffle, repeat, sample, and only then does each
process take its own rows of every global batch.  So a run resumes from its step alone, with any number of processes or
loader workers.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import grain
import numpy as np
import tensorflow_datasets as tfds
from absl import flags

from lift_flax.config import Config
from lift_flax.data import clips
from lift_flax.data.decode import decode_frames
from lift_flax.errors import UserError

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder written by `data_prep.build`: every clip once, and which of them each official fold trains and tests on.

    Attributes:
      dir: the folder.
      classes: names, by label.
      folds: {"1": {"train": [id, ...], "test": [...]}}.
      rows: {id: (position in the records, label, group)}.
    """

    dir: Path
    classes: tuple[str, ...]
    folds: dict[str, dict[str, list[str]]]
    rows: dict[str, tuple[int, int, str]]

    def split(self, fold: int, name: str) -> list[str]:
        """Ids of one split of a fold.  Raises UserError where it does not exist or is empty."""
        if str(fold) not in self.folds:
            raise UserError(f"{self.dir} has no fold {fold}: set config.data.fold to one of {', '.join(self.folds)}")
        ids = self.folds[str(fold)].get(name, [])
        if not ids:
            raise UserError(f"{self.dir}: split '{name}' of fold {fold} is empty: build the records again with one")
        return ids

    def train_and_validation(self, fold: int, val_share: float, seed: int) -> tuple[list[str], list[str]]:
        """Splits the training ids by group: about `val_share` of each class's groups go to validation.

        A class with a single group keeps it for training.  Clips without a group are each their own.
        """
        ids = self.split(fold, "train")
        if val_share == 0:
            return ids, []
        by_class: dict[int, dict[str, list[str]]] = {}
        for i in ids:
            _, label, group = self.rows[i]
            by_class.setdefault(label, {}).setdefault(group or i, []).append(i)
        rng = np.random.default_rng([seed, fold])
        held_out = set()
        for label in sorted(by_class):
            groups = sorted(by_class[label])
            count = min(max(1, round(val_share * len(groups))), len(groups) - 1)
            for group in rng.choice(groups, count, replace=False):
                held_out.update(by_class[label][group])
        return [i for i in ids if i not in held_out], [i for i in ids if i in held_out]


def open_records(folder: str) -> Records:
    """Opens a folder of records.  Raises UserError where it is missing, empty or unfinished."""
    if not folder:
        raise UserError("config.data.dir is empty: set --config.data.dir to a folder written by data_prep.build")
    path = Path(folder).absolute()
    if not path.is_dir():
        raise UserError(
            f"{path} does not exist: make records with `python -m data_prep.build`, or mend config.data.dir"
        )
    if not (path / "folds.json").is_file():
        raise UserError(f"{path} holds no finished records (no folds.json): run `python -m data_prep.build` to its end")
    folds = json.loads((path / "folds.json").read_text())
    rows = {c["id"]: (i, c["label"], c["group"]) for i, c in enumerate(folds["clips"])}
    return Records(path, tuple(folds["classes"]), folds["folds"], rows)


def _source(records: Records):
    (info,) = records.dir.glob("*/*/dataset_info.json")
    return tfds.builder_from_directory(info.parent).as_data_source("all")


class _Clips:
    """Reads, samples and decodes clips by id.  Picklable, so that loader processes can have their own."""

    def __init__(self, records: Records, config: Config, ids: list[str]):
        self.source = _source(records)
        self.rows = [(i, records.rows[i]) for i in ids]
        self.frames, self.size = config.data.num_frames, config.data.size
        self.cache: dict[int, np.ndarray] | None = {} if config.data.cache == "memory" else None

    def train(self, row: int, rng: np.random.Generator) -> Batch:
        """A random frame of each segment, at a random place along the longer side."""
        count, decode = self._open(row)
        frames = decode(clips.train_indices(count, self.frames, rng))
        return self._example(row, frames, *rng.random(2))

    def eval(self, row: int) -> Batch:
        """The centre frame of each segment and the centre crop; a negative row is padding of weight 0."""
        count, decode = self._open(max(row, 0))
        example = self._example(max(row, 0), decode(clips.eval_indices(count, self.frames)), 0.5, 0.5)
        example["weight"] = np.float32(row >= 0)
        return example

    def _open(self, row: int):
        """(number of stored frames, function from frame indices to frames [T,H,W,3] of short side `size`)."""
        if self.cache is not None:
            frames = self.cache.get(row)
            if frames is None:
                frames = self.cache[row] = decode_frames(self._record(row)["video"], short_side=self.size)
            return len(frames), lambda indices: frames[indices]
        record = self._record(row)
        return int(record["num_frames"]), lambda indices: decode_frames(record["video"], indices, self.size)

    def _record(self, row: int) -> dict:
        clip_id, (position, _, _) = self.rows[row]
        record = self.source[position]
        if record["id"].decode() != clip_id:
            raise UserError(
                f"folds.json names {clip_id} where the records hold {record['id'].decode()}: build them again"
            )
        return record

    def _example(self, row: int, frames: np.ndarray, share_y: float, share_x: float) -> Batch:
        clip_id, (_, label, _) = self.rows[row]
        y, x = clips.crop_origin(*frames.shape[1:3], self.size, share_y, share_x)
        return {
            "clip": np.ascontiguousarray(frames[:, y : y + self.size, x : x + self.size]),  # [T, size, size, 3]
            "label": np.int32(label),
            "weight": np.float32(1),
            "id": clip_id,
        }


class _ProcessRows(grain.MapDataset):
    """Of every global batch, the contiguous rows that belong to one process."""

    def __init__(self, parent: grain.MapDataset, batch_size: int, process: int, processes: int):
        super().__init__(parent)
        self.batch_size, self.process, self.local = batch_size, process, batch_size // processes

    def __len__(self) -> int:
        return len(self._parent) // self.batch_size * self.local

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.slice(index)
        batch, row = divmod(index, self.local)
        return self._parent[batch * self.batch_size + self.process * self.local + row]


def train_batches(
    records: Records,
    config: Config,
    ids: list[str],
    *,
    seed: int,
    first_step: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """Endless batches of this process's rows, from global step `first_step` on.

    Each batch is {"clip" uint8 [B,T,H,W,3], "label" int32 [B], "weight" float32 [B], "id" [B]}.  Close the iterator
    when done (contextlib.closing): it may own loader processes.
    """
    reader = _Clips(records, config, ids)
    data = grain.MapDataset.range(len(ids)).seed(seed).shuffle().repeat(reseed_each_epoch=True).random_map(reader.train)
    rows = _ProcessRows(data, config.train.batch_size, process, processes)
    return _iterate(rows.batch(config.train.batch_size // processes)[first_step:], config)


def eval_batches(
    records: Records, config: Config, ids: list[str], *, process: int = 0, processes: int = 1
) -> Iterator[Batch]:
    """Every example once, in the order of `ids`; the last batch is filled up with examples of weight 0."""
    size = config.train.batch_size
    padded = [*range(len(ids)), *[-1] * (-len(ids) % size)]
    data = grain.MapDataset.source(padded).map(_Clips(records, config, ids).eval)
    return _iterate(_ProcessRows(data, size, process, processes).batch(size // processes), config)


def read_eval_clips(records: Records, config: Config, ids: list[str]) -> np.ndarray:
    """The clips that evaluation sees, for pictures: uint8 [N, T, size, size, 3]."""
    reader = _Clips(records, config, ids)
    return np.stack([reader.eval(row)["clip"] for row in range(len(ids))])


def _iterate(data: grain.MapDataset, config: Config) -> Iterator[Batch]:
    if not flags.FLAGS.is_parsed():  # grain reads its own flags, also where no command line was parsed
        flags.FLAGS.mark_as_parsed()
    threads = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2 * config.train.batch_size)
    if config.data.workers == 0:
        return iter(data.to_iter_dataset(threads))
    one = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    workers = grain.MultiprocessingOptions(num_workers=config.data.workers, per_worker_buffer_size=2)
    return iter(data.to_iter_dataset(one).mp_prefetch(workers))
