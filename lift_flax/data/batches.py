"""From records to batches of uint8 clips on the host.

The order of training examples is a pure function of a global counter: shuffle, repeat, sample, and only then does each
process take its own rows of every global batch.  So a run resumes from its step alone, with any number of processes or
loader workers.
"""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator

import grain
import numpy as np
from absl import flags
from jaxtyping import Int

from lift_flax.config import Config
from lift_flax.data.clip_reader import Batch, ClipReader, Example
from lift_flax.data.records import Records
from lift_flax.data.worker_process import end_with_parent
from lift_flax.video.sampling import CENTRE, View

Rows = Int[np.ndarray, "rows"]


Light = Callable[[np.ndarray, str], np.ndarray]  # (uint8 [T,H,W,3], id) -> uint8 [T,H,W,3]


PASSES = 10**6  # over the training clips: without end for every purpose, but a number that indices can hold


def _reader(records: Records, config: Config, ids: list[str]) -> ClipReader:
    rows = [(i, *records.rows[i][:2]) for i in ids]
    cache = records.cache if config.data.cache == "memory" else None
    flow = config.model.luminous.input == "flow"
    return ClipReader(records.records, rows, config.data.num_frames, config.data.size, flow, cache)


class _ProcessRows(grain.MapDataset):
    """Of every global batch, the rows that one process reads."""

    def __init__(self, parent: grain.MapDataset, batch_size: int, rows: Rows):
        super().__init__(parent)
        self.batch_size, self.rows = batch_size, rows

    def __len__(self) -> int:
        return len(self._parent) // self.batch_size * len(self.rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.slice(index)
        batch, row = divmod(index, len(self.rows))
        return self._parent[batch * self.batch_size + int(self.rows[row])]


def _train_order(count: int, seed: int) -> grain.MapDataset:
    """Which clip stands at each place of the endless row of training examples."""
    return grain.MapDataset.range(count).seed(seed).shuffle().repeat(PASSES)


def batch_ids(ids: list[str], *, seed: int, step: int, batch_size: int) -> list[str]:
    """Ids of the whole global batch of a step (from 1 on), without reading a clip; the rest as `train_batches`."""
    order = _train_order(len(ids), seed)
    return [ids[order[i]] for i in range((step - 1) * batch_size, step * batch_size)]


def train_batches(
    records: Records,
    config: Config,
    ids: list[str],
    *,
    seed: int,
    first_step: int,
    rows: Rows | None = None,
) -> Iterator[Batch]:
    """Endless batches of `rows` of every global batch (None: all), from global step `first_step` on.

    Each batch is {"clip" uint8 [B,T,H,W,3], "label" int32 [B], "weight" float32 [B], "id" [B]}, and where the luminous
    stream takes it "flow" uint8 [B,T,H,W,2] (lift_flax/video/flow_codes.py).  Close the iterator
    when done (contextlib.closing): it may own loader processes.
    """
    reader = _reader(records, config, ids)
    size = config.train.batch_size
    rows = np.arange(size) if rows is None else rows
    data = _train_order(len(ids), seed).random_map(reader.train)
    return _iterate(_ProcessRows(data, size, rows).batch(len(rows))[first_step:], config)


def eval_batches(
    records: Records,
    config: Config,
    ids: list[str],
    *,
    rows: Rows | None = None,
    views: tuple[View, ...] = (CENTRE,),
    light: Light | None = None,
) -> Iterator[Batch]:
    """Every view of every example once, in the order of `ids`; the last batch is filled up with examples of weight 0.

    Args:
      rows: only these rows of every global batch.
      light: what is done to the frames of a clip, given its id.
    """
    size = config.train.batch_size
    rows = np.arange(size) if rows is None else rows
    count = len(ids) * len(views)
    padded = [*range(count), *[-1] * (-count % size)]
    data = grain.MapDataset.source(padded).map(_EvalExample(_reader(records, config, ids), views, light))
    return _iterate(_ProcessRows(data, size, rows).batch(len(rows)), config)


@dataclasses.dataclass(frozen=True)
class _EvalExample:
    """From a place in the row of all views of all clips to the example there; picklable."""

    reader: ClipReader
    views: tuple[View, ...]
    light: Light | None

    def __call__(self, place: int) -> Example:
        row, view = divmod(max(place, 0), len(self.views))
        example = self.reader.eval(row if place >= 0 else -1, self.views[view])
        if self.light:
            example["clip"] = self.light(example["clip"], example["id"])
        return example


def read_eval_examples(records: Records, config: Config, ids: list[str]) -> list[Example]:
    """What evaluation sees of each clip, for pictures; as in a batch, without its first axis."""
    reader = _reader(records, config, ids)
    return [reader.eval(row) for row in range(len(ids))]


def _iterate(data: grain.MapDataset, config: Config) -> Iterator[Batch]:
    if not flags.FLAGS.is_parsed():  # grain reads its own flags, also where no command line was parsed
        flags.FLAGS.mark_as_parsed()
    threads = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)  # batches
    if config.data.workers == 0:
        return iter(data.to_iter_dataset(threads))
    one = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    workers = grain.MultiprocessingOptions(num_workers=config.data.workers, per_worker_buffer_size=2)
    return _started(iter(data.to_iter_dataset(one).mp_prefetch(workers, worker_init_fn=_start_worker)))


def _started(batches) -> Iterator[Batch]:
    """`batches`, whose workers start with SIGTERM held back until they can ignore it."""
    with contextlib.closing(batches):
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            first = next(batches, None)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if first is not None:
            yield first
            yield from batches


def _start_worker(worker: int, workers: int) -> None:
    """Whoever stops a run may signal all of its processes: batches must come until it has saved, and no longer."""
    del worker, workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    end_with_parent()
