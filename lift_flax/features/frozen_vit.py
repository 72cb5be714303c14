"""A ViT that no step changes, computed by itself: each time, or once for every view and then read.

With `data.feature_views` a training step gets what the ViT makes of its clips as an input.  Both ways compute it in one
compiled function: from features that were kept by runs of the same batch size, number of processes and kind of device,
training goes the same way bit for bit; from others, but for rounding.
"""

import contextlib
import functools
import os
import time
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from lift_flax.augment.streams import make_eval_streams, make_train_streams
from lift_flax.config import Config
from lift_flax.data import fixed_views
from lift_flax.data.batches import ViewOf, listed_batches
from lift_flax.data.clip_reader import Batch
from lift_flax.data.kept_features import KeptFeatures
from lift_flax.data.records import Records
from lift_flax.distributed import processes
from lift_flax.distributed.mesh import batch_sharding, local_rows, own_rows, put_batch
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.errors import UserError
from lift_flax.features.places import kept_features
from lift_flax.models import inputs
from lift_flax.models.functional import Network, Tree
from lift_flax.models.inputs import Streams
from lift_flax.video.sampling import View

_SAY_SECONDS = 15  # between two lines of a long computation
_SHARED_SECONDS = 60  # within which network file systems show what another process wrote


class FrozenViT:
    """Gives the main stream what the ViT makes of a batch.

    Args:
      network: the student.
      pvit: parameters of its ViT.
      stop: raises Stopped between two batches when the run is asked to stop; what is computed stays.

    Attributes:
      kept: where the features of views are; None where each batch computes its own.
    """

    def __init__(
        self,
        network: Network,
        config: Config,
        records: Records,
        mesh: Mesh,
        pvit: Tree,
        stop: StopSignal | None = None,
    ):
        self._config, self._records, self._mesh, self._stop = config, records, mesh, stop
        self.kept: KeptFeatures | None = None
        if config.data.features == "cache":
            self.kept = kept_features(records, config, pvit)
        forward = functools.partial(inputs.main_features, network, config)
        self._forward = jax.jit(forward, out_shardings=batch_sharding(mesh))

    def add_to(self, streams: Streams, params: Tree, stats: Tree) -> Streams:
        """`streams` of a batch with "main_features", unless they were read with it; the arrays are the student's."""
        if "main_features" in streams:
            return streams
        return {**streams, "main_features": self._forward(params, stats, streams)}

    def keep_training(self, ids: list[str], params: Tree, stats: Tree) -> None:
        """Computes what is missing of all fixed views of training clips; nothing where nothing is kept.

        Raises:
          Stopped: the run was asked to stop.
          UserError: the files cannot be written, or other processes do not see them.
        """
        views: list[ViewOf] = [(clip, view) for clip in ids for view in range(fixed_views.count(self._config))]
        self._keep(views, "views of training clips", params, stats)

    def keep_tests(self, ids: list[str], views: tuple[View, ...], params: Tree, stats: Tree) -> None:
        """The same for views of clips in evaluation."""
        self._keep([(clip, view) for clip in ids for view in views], "views of clips to score", params, stats)

    def _keep(self, views: list[ViewOf], what: str, params: Tree, stats: Tree) -> None:
        if self.kept is None:
            return
        kept = self.kept
        with processes.all_or_none():
            kept.make_folders()
        paths = [kept.path(*self._place(view)) for view in views]
        known = np.array([path.exists() for path in paths] if processes.is_first() else [False] * len(paths), bool)
        missing = [view for view, there in zip(views, processes.array_from_first(known), strict=True) if not there]
        if missing:
            self._compute(kept, missing, f"of {len(views)} {what}", params, stats)
        with processes.all_or_none():
            _see(paths)

    def _compute(self, kept: KeptFeatures, missing: list[ViewOf], named: str, params: Tree, stats: Tree) -> None:
        megabytes = len(missing) * kept.shape[0] * kept.shape[1] * 4 / 1e6
        folder = kept.path(*self._place(missing[0])).parent
        print(f"ViT: computing {len(missing)} {named}, once, {megabytes:.1f} MB in {folder}", flush=True)
        size, said = self._config.train.batch_size, time.monotonic()
        rows = local_rows(self._mesh, size)
        with contextlib.closing(listed_batches(self._records, self._config, missing, rows=rows)) as batches:
            for first, batch in zip(range(0, len(missing), size), batches, strict=True):
                if self._stop and self._stop.at_this_step():
                    raise Stopped(f"stopped by SIGTERM with {first} of {len(missing)} views computed for the ViT")
                features = own_rows(self._forward(params, stats, self._streams(batch)))
                with processes.all_or_none():
                    for place, values in zip(first + rows, features, strict=True):
                        if place < len(missing):
                            kept.write(*self._place(missing[place]), values)
                if time.monotonic() > said + _SAY_SECONDS:
                    said = time.monotonic()
                    print(f"ViT: {min(first + size, len(missing))} of {len(missing)}", flush=True)

    def _streams(self, batch: Batch) -> Streams:
        """The streams of fixed views, or of test views, as training and scoring make them."""
        on_devices, classes = put_batch(batch, self._mesh), len(self._records.classes)
        if "view" in batch:
            return make_train_streams(on_devices, jax.random.key(0), self._config, classes)
        return make_eval_streams(on_devices, self._config, classes)

    def _place(self, view: ViewOf) -> tuple[int, int, View | int]:
        """Number of the folder of records, position of the clip in it, and the view."""
        entry, parts = self._records.index[view[0]], self._records.parts
        part = next(i for i, part in enumerate(parts) if part.name == entry.part)
        return part, entry.position - parts[part].first, view[1]


def _see(paths: list[Path]) -> None:
    """Waits until this process sees files that another one may have written; raises UserError where it does not."""
    deadline = time.monotonic() + _SHARED_SECONDS
    while unseen := [path for path in paths if not path.exists()]:
        if time.monotonic() > deadline:
            raise UserError(
                f"{unseen[0]} is there for the first process and not for this one: put the records on storage that all "
                "processes share, or set config.data.features=compute"
            )
        time.sleep(0.1)
        for folder in {path.parent for path in unseen}:
            os.listdir(folder)  # network file systems may remember that a file was missing until they are asked so
