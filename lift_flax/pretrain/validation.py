"""The loss of pretraining on validation clips: the same windows, lights and orders after every epoch."""

import contextlib
import functools
from collections.abc import Callable

import jax
import numpy as np

from lift_flax.data.batches import eval_batches
from lift_flax.distributed.mesh import everywhere, gather_rows, local_rows, put_batch
from lift_flax.features.frozen_vit import FrozenViT
from lift_flax.models.functional import Tree
from lift_flax.pretrain.losses import pretext
from lift_flax.pretrain.views import VIEWS, make_validation_streams
from lift_flax.train.phases import RunContext, ValidationMetrics
from lift_flax.video.sampling import view_grid

_SEED = 7  # of the lights


def make_validation(run: RunContext, outputs: Callable, vit: FrozenViT | None = None) -> ValidationMetrics:
    """What gives `losses.pretext` of the validation clips, as a mean over batches of as many clips as in training.

    The two views of a clip are windows at a quarter and three quarters of it, or other frames of the same spans.  Every
    second clip is played backwards.

    Args:
      outputs: (params, stats, streams, train) -> (outputs of `PretextNet`, new statistics).
      vit: None; no ViT is frozen here.
    """
    del vit
    config, mesh, ids = run.config, run.mesh, run.val_ids
    size = config.train.batch_size
    rows = local_rows(mesh, size)
    forward = jax.jit(lambda params, stats, streams: outputs(params, stats, streams, train=False)[0])
    loss_of = jax.jit(functools.partial(pretext, config=config))
    backwards = (np.arange(len(ids)) % 2 * (config.pretrain.order_weight > 0)).astype(np.float32)

    def embeddings(params: Tree, stats: Tree) -> dict[str, np.ndarray]:
        """The outputs for both views of each clip, [N, 2, ...]."""
        parts: dict[str, list[np.ndarray]] = {}
        params, stats = everywhere((params, stats), mesh)
        batches = eval_batches(run.records, config, ids, rows=rows, views=view_grid(VIEWS, 1))
        with contextlib.closing(batches):
            for number, batch in enumerate(batches):
                clips, view = np.divmod(number * size + rows, VIEWS)
                clips = clips % len(ids)  # those of padding are left out below
                seen_as = {"second": view.astype(np.float32), "backwards": backwards[clips]}
                on_devices = put_batch({**batch, **seen_as}, mesh)
                key = jax.random.fold_in(jax.random.key(_SEED), number)
                streams = make_validation_streams(on_devices, key, config)
                for name, values in forward(params, stats, streams).items():
                    parts.setdefault(name, []).append(gather_rows(values))
        count = len(ids) * VIEWS
        views = {name: np.concatenate(values)[:count] for name, values in parts.items()}
        return {name: values.reshape(len(ids), VIEWS, *values.shape[1:]) for name, values in views.items()}

    def validate(params: Tree, stats: Tree) -> dict[str, float]:
        embedded = embeddings(params, stats)
        together = min(size, len(ids))
        found = []
        for first in range(0, len(ids), together):
            clips = np.arange(first, first + together) % len(ids)  # the last batch is filled up with the first clips
            group = {name: values[clips] for name, values in embedded.items()}
            group, order = everywhere((group, backwards[clips]), mesh)
            found.append({name: float(value) for name, value in loss_of(group, order).items()})
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    return validate
