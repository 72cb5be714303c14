"""From records to batches of uint8 clips on the host.

The order of training examples is a pure function of a global counter: shuffle, repeat, sample; each process then takes
its own rows of every global batch.  So a run resumes from its step alone, with any number of processes or loader
workers.
"""

import collections
import contextlib
import dataclasses
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol, runtime_checkable

import grain
import numpy as np
from absl import flags
from jaxtyping import Int

from lift_flax.config import Config
from lift_flax.data import shared_memory
from lift_flax.data.clip_reader import PIXELS, Batch, ChangeLight, ClipReader, Example, StoredFlow
from lift_flax.data.fitting import folder_weights
from lift_flax.data.kept_features import KeptFeatures
from lift_flax.data.order import DrawnOrder, plain_order
from lift_flax.data.records import Records
from lift_flax.data.windows import frame_window
from lift_flax.video.sampling import CENTRE, View
from lift_flax.worker_process import end_with_parent

Rows = Int[np.ndarray, "rows"]
ViewOf = tuple[str, View | int]  # id of a clip, and a test view or the number of a fixed one


@runtime_checkable
class Batches(Iterator[Batch], Protocol):
    """Batches one after the other; `close` ends the threads or processes that read ahead."""

    def close(self) -> None: ...


def _reader(records: Records, config: Config, ids: list[str], **options: Any) -> ClipReader:
    clips = [(i, records.index[i].position, records.index[i].label) for i in ids]
    cache = records.cache if config.data.cache == "memory" else None
    flow = StoredFlow.of(records.prepared) if config.model.luminous.takes_flow else None
    sizes = (config.data.num_frames, config.data.size)
    return ClipReader(records.parts, clips, *sizes, flow, cache, window=frame_window(config), **options)


def class_weights(records: Records, config: Config, ids: list[str]) -> dict[int, float] | None:
    """What a clip of each label counts in the loss, 1 on average over `ids`; None where all count alike."""
    if config.train.class_weights == "none":
        return None
    counts = collections.Counter(records.index[i].label for i in ids)
    return {label: len(ids) / (len(counts) * count) for label, count in counts.items()}


class _ProcessRows(grain.MapDataset):
    """The rows of every global batch that one process reads."""

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


def _train_order(records: Records, config: Config, ids: list[str], seed: int) -> grain.MapDataset:
    """The endless sequence of training examples, as places in `ids`."""
    weights, by_class = folder_weights(config, records), config.data.balance == "classes"
    if not (by_class or weights):
        return plain_order(len(ids), seed)
    groups: dict[tuple[str, int], list[int]] = {}
    for place, i in enumerate(ids):
        entry = records.index[i]
        groups.setdefault((entry.part, entry.label if by_class else 0), []).append(place)
    sizes = collections.Counter(part for part, _ in groups)
    clips = collections.Counter(records.index[i].part for i in ids)
    shares = [weights.get(part, clips[part]) / sizes[part] for part, _ in groups]
    return DrawnOrder([np.array(group) for group in groups.values()], shares, seed).seed(seed)


def batch_ids(records: Records, config: Config, ids: list[str], *, seed: int, step: int) -> list[str]:
    """Ids in the global batch of a step (from 1 on) of `train_batches`, without reading a clip."""
    size = config.train.batch_size
    order = _train_order(records, config, ids, seed)[(step - 1) * size : step * size]
    return [ids[place] for place in order]  # pyright: ignore[reportCallIssue, reportArgumentType]  # they are numbers


def train_batches(
    records: Records,
    config: Config,
    ids: list[str],
    *,
    seed: int,
    first_step: int,
    rows: Rows | None = None,
    fixed_views: int = 0,
    features: KeptFeatures | None = None,
    draws: int = 1,
) -> Batches:
    """Endless batches for training.  Close the iterator when done (contextlib.closing): it may own loader processes.

    Args:
      records: the clips.
      config: clip length, size, batch size and loader settings.
      ids: clips to train on.
      seed: of the order and the sampling.
      first_step: global step of the first batch.
      rows: only these rows of every global batch; None takes all.
      fixed_views: V, of which each example is one; 0 draws each anew.
      features: of those views, kept.
      draws: how often each clip is drawn, at another time and place each; with several, "clip" and "flow" have an axis
        for them after the first: [B,V,T,H,W,C].

    Yields:
      {"clip" uint8 [B,T,H,W,3], "label" int32 [B], "weight" float32 [B], "id" [B]}, and "flow" uint8 [B,T,H,W,2]
      (lift_flax/video/flow_codes.py) if the luminous stream takes flow; of fixed views also "view" uint32 [B], and
      "main_features" float32 [B,T,D] where they are kept.

    Raises:
      UserError: the records are damaged.
    """
    counts = class_weights(records, config, ids)
    reader = _reader(records, config, ids, weights=counts, fixed_views=fixed_views, features=features)
    size = config.train.batch_size
    rows = np.arange(size) if rows is None else rows
    data = _train_order(records, config, ids, seed).random_map(reader.train if draws == 1 else _Draws(reader, draws))
    return _iterate(_ProcessRows(data, size, rows).batch(len(rows))[first_step:], config, len(rows) * draws)


@dataclasses.dataclass(frozen=True)
class _Draws:
    """The example of a clip that is drawn several times.  Picklable."""

    reader: ClipReader
    count: int

    def __call__(self, clip: int, rng: np.random.Generator) -> Example:
        drawn = [self.reader.train(clip, rng) for _ in range(self.count)]
        return {**drawn[0], **{name: np.stack([one[name] for one in drawn]) for name in PIXELS & set(drawn[0])}}


def eval_batches(
    records: Records,
    config: Config,
    ids: list[str],
    *,
    rows: Rows | None = None,
    views: tuple[View, ...] = (CENTRE,),
    light: ChangeLight | None = None,
    features: KeptFeatures | None = None,
) -> Batches:
    """Batches (see `train_batches`) with every view of every clip once, in the order of `ids`.

    The last batch is filled up with examples of weight 0.

    Args:
      records: the clips.
      config: clip length, size, batch size and loader settings.
      ids: clips to score.
      rows: only these rows of every global batch; None takes all.
      views: test-time crops of each clip.
      light: changes the frames of a clip, given its id; then nothing is kept of it.
      features: of those views, kept.

    Raises:
      UserError: the records are damaged.
    """
    example = _EvalExample(_reader(records, config, ids, features=features), views, light)
    return _padded_batches(example, len(ids) * len(views), config, rows)


def listed_batches(records: Records, config: Config, views: list[ViewOf], *, rows: Rows | None = None) -> Batches:
    """Batches (see `train_batches`) of single views, in their order; the last one is filled up with the last view."""
    ids = list(dict.fromkeys(clip for clip, _ in views))
    place = {clip: k for k, clip in enumerate(ids)}
    example = _ListedExample(_reader(records, config, ids), tuple((place[clip], view) for clip, view in views))
    return _padded_batches(example, len(views), config, rows)


def _padded_batches(example: Callable[[int], Example], count: int, config: Config, rows: Rows | None) -> Batches:
    """Batches of `example(0)` to `example(count - 1)`, then of `example(-1)` until the last one is full."""
    size = config.train.batch_size
    rows = np.arange(size) if rows is None else rows
    data = grain.MapDataset.source([*range(count), *[-1] * (-count % size)]).map(example)
    return _iterate(_ProcessRows(data, size, rows).batch(len(rows)), config, len(rows))


@dataclasses.dataclass(frozen=True)
class _ListedExample:
    """The view at a place in a list of (place of a clip, view), -1 for padding.  Picklable."""

    reader: ClipReader
    views: tuple[tuple[int, View | int], ...]

    def __call__(self, place: int) -> Example:
        clip, view = self.views[place]
        return self.reader.eval(clip, view) if isinstance(view, View) else self.reader.fixed(clip, view)


@dataclasses.dataclass(frozen=True)
class _EvalExample:
    """The example at a place in the sequence of all views of all clips, -1 for padding.  Picklable."""

    reader: ClipReader
    views: tuple[View, ...]
    light: ChangeLight | None

    def __call__(self, place: int) -> Example:
        clip, view = divmod(max(place, 0), len(self.views))
        return self.reader.eval(clip if place >= 0 else -1, self.views[view], self.light)


def read_eval_examples(records: Records, config: Config, ids: list[str]) -> list[Example]:
    """The example of each clip in evaluation, for pictures: as in a batch, without its first axis.

    Raises:
      UserError: the records are damaged.
    """
    reader = _reader(records, config, ids)
    return [reader.eval(clip) for clip in range(len(ids))]


def _iterate(data: grain.MapDataset, config: Config, rows: int) -> Batches:
    threads = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)  # batches
    if config.data.workers == 0:
        return iter(data.to_iter_dataset(threads))
    shared_memory.check_room(_batch_bytes(config, rows), len(data), config.data.workers)
    one = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    workers = grain.MultiprocessingOptions(num_workers=config.data.workers, per_worker_buffer_size=2)
    with shared_memory.loader_faults(), _grain_may_read_its_flags():
        batches = iter(data.to_iter_dataset(one).mp_prefetch(workers, worker_init_fn=_start_worker))
    return _started(batches)


def _batch_bytes(config: Config, rows: int) -> int:
    """Bytes of the pixels of `rows` examples."""
    channels = 5 if config.model.luminous.takes_flow else 3
    return rows * config.data.num_frames * config.data.size**2 * channels


def _started(batches: Batches) -> Generator[Batch, None, None]:
    """Yields `batches`; their workers start with SIGTERM held back, until they can ignore it."""
    with shared_memory.loader_faults(), contextlib.closing(batches):
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            with _grain_may_read_its_flags():
                first = next(batches, None)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if first is not None:
            yield first
            yield from batches


@contextlib.contextmanager
def _grain_may_read_its_flags() -> Iterator[None]:
    """Grain reads an absl flag of its own when it starts processes, which absl allows after a command line was parsed.

    In programs that have not parsed one, grain's flags count as given meanwhile; the program's own stay as they are.
    """
    own = [flags.FLAGS[name] for name in flags.FLAGS if name.startswith("grain_")]
    given = [flag.present for flag in own]
    for flag in own:
        flag.present = max(flag.present, 1)
    try:
        yield
    finally:
        for flag, before in zip(own, given, strict=True):
            flag.present = before


def _start_worker(worker: int, workers: int) -> None:
    """Ignores SIGTERM, which may be sent to all processes of a run: batches are needed until the run has saved."""
    del worker, workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    end_with_parent()
