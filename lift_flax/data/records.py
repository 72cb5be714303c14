"""From the records on disk to batches of uint8 clips on the host.

The order of training examples is a pure function of a global counter: shuffle, repeat, sample, and only then does each
process take its own rows of every global batch.  So a run resumes from its step alone, with any number of processes or
loader workers.
"""

import collections
import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grain
import numpy as np
from absl import flags
from jaxtyping import Int

from lift_flax.config import Config
from lift_flax.data import clip_reader
from lift_flax.data.clip_reader import Batch, ClipReader, Example, damaged
from lift_flax.errors import UserError
from lift_flax.video.sampling import CENTRE, View

_DATASETS = ("arid", "hmdb51", "infar", "night_figures", "ucf101")
Rows = Int[np.ndarray, "rows"]
Light = Callable[[np.ndarray, str], np.ndarray]  # (uint8 [T,H,W,3], id) -> uint8 [T,H,W,3]
PASSES = 10**6  # over the training clips: without end for every purpose, but a number that indices can hold


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder written by `data_prep.build`: every clip once, and which of them each official fold trains and tests on.

    Attributes:
      dir: the folder.
      classes: names, by label.
      folds: {"1": {"train": [id, ...], "test": [...]}}.
      rows: {id: (position in the records, label, group)}.
      records: the TFDS folder.
      source: which data set it is, "folder" for a user's own.
      prepared: how videos became clips: "codec", "short_side", "max_frames" (None: all), "flow" (its method, or none).
      cache: decoded clips by (position, short side, with flow), used with `data.cache=memory`; one for the whole run.
    """

    dir: Path
    classes: tuple[str, ...]
    folds: dict[str, dict[str, list[str]]]
    rows: dict[str, tuple[int, int, str]]
    records: Path
    source: str
    prepared: dict[str, str | int | None]
    cache: clip_reader.Cache = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def has_flow(self) -> bool:
        """Whether optical flow is stored with every clip."""
        return self.prepared["flow"] != "none"

    def split(self, fold: int, name: str) -> list[str]:
        """Ids of one split of a fold.  Raises UserError where it does not exist or is empty."""
        if str(fold) not in self.folds:
            raise UserError(f"{self.dir} has no fold {fold}: set config.data.fold to one of {', '.join(self.folds)}")
        ids = self.folds[str(fold)].get(name, [])
        if not ids:
            raise UserError(f"{self.dir}: split '{name}' of fold {fold} is empty: build the records again with one")
        return ids

    def train_and_validation(self, fold: int, val_share: float, seed: int) -> tuple[list[str], list[str]]:
        """Splits the training ids by group: about `val_share` of the clips go to validation, whole groups at a time.

        A group (a scene, an actor) is on one side in all its classes; every class keeps clips for training.  Clips
        without a group are each their own.
        """
        ids = self.split(fold, "train")
        groups: dict[str, list[str]] = {}
        for i in ids:
            groups.setdefault(self.rows[i][2] or i, []).append(i)
        left = collections.Counter(self.rows[i][1] for i in ids)
        held_out: set[str] = set()
        names = sorted(groups)
        for name in (names[k] for k in np.random.default_rng([seed, fold]).permutation(len(names))):
            taken = collections.Counter(self.rows[i][1] for i in groups[name])
            fits = len(held_out) + len(groups[name]) <= round(val_share * len(ids))
            if fits and all(left[label] > count for label, count in taken.items()):
                held_out.update(groups[name])
                left -= taken
        if val_share > 0 and not held_out:
            raise UserError(
                f"config.data.val_share={val_share} holds out no whole group of {self.dir}: "
                "raise it, or set it to 0 to use the last checkpoint"
            )
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
    if not (path / "prep_report.json").is_file():  # written last
        raise UserError(f"{path} holds no finished records: run `python -m data_prep.build` to its end")
    report, folds = _read_json(path / "prep_report.json"), _read_json(path / "folds.json")
    rows = {c["id"]: (i, c["label"], c["group"]) for i, c in enumerate(folds["clips"])}
    settings = report["settings"]
    prepared = {name: settings[name] for name in ("codec", "max_frames", "flow")} | {"short_side": settings["size"]}
    if settings["codec"] == "original":
        prepared["max_frames"] = None
    classes = tuple(folds["classes"])
    return Records(path, classes, folds["folds"], rows, path / report["records"], report["source"], prepared)


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def check_fits(records: Records, config: Config) -> None:
    """Raises UserError where `config` is for another data set, or wants optical flow and the records have none."""
    if config.dataset in _DATASETS and records.source in _DATASETS and config.dataset != records.source:
        raise UserError(
            f"{records.dir} holds {records.source}, the config is for {config.dataset}: take the config of "
            f"{records.source}, or name the run with --config.dataset={records.source}"
        )
    if config.model.luminous.input == "flow" and not records.has_flow:
        raise UserError(
            f"{records.dir} holds no optical flow: build it again with --flow --overwrite, or set "
            "config.model.luminous.input=gamma"
        )


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
    return _started(iter(data.to_iter_dataset(one).mp_prefetch(workers, worker_init_fn=_live_as_the_run_does)))


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


def _live_as_the_run_does(worker: int, workers: int) -> None:
    """Whoever stops a run may signal all of its processes: batches must come until it has saved, and no longer."""
    del worker, workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_the_run, daemon=True).start()


def _end_with_the_run() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
