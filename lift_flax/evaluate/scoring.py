"""Scoring a network on a list of clips: every example once, in order, whatever the batch or the number of devices."""

import contextlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from lift_flax.augment.streams import make_eval_streams
from lift_flax.config import Config
from lift_flax.data.batches import Light, eval_batches
from lift_flax.data.records import Records
from lift_flax.distributed.mesh import gather_rows, local_rows, put_batch
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.evaluate import metrics
from lift_flax.models.functional import Tree
from lift_flax.video.sampling import CENTRE, View

NETWORKS = {"teacher": "teacher_logits", "student": "logits"}  # what each network's logits are called

_LUMA = (0.299, 0.587, 0.114)  # of R, G and B

# {"logits" [N, K], "teacher_logits" [N, K] where the network has a teacher, "labels" [N], "loss" [],
# "luma" [N] mean of the frames that were seen, 0 to 255}
Predictions = dict[str, np.ndarray]
Predictor = Callable[..., Predictions]


def make_predictor(
    outputs: Callable, config: Config, records: Records, mesh: Mesh, stop: StopSignal | None = None
) -> Predictor:
    """A function from (params, batch_stats, ids) to predictions, compiled once.

    It also takes `labels` where they are not those of the records, `views` of each clip with the `average` to take
    (`metrics.average_views`), and the `light` to see them in (`eval_batches`).

    Args:
      outputs: (params, stats, views, train) -> (outputs, new statistics), of a phase.
      stop: between two batches Stopped is raised when this comes: for what can be done again.
    """

    @jax.jit
    def forward(params, stats, views):
        out, _ = outputs(params, stats, views, train=False)
        luma = (views["dark"].astype(jnp.float32) @ jnp.array(_LUMA)).mean(axis=(1, 2, 3))  # [B, T, H, W] -> [B]
        return {name: out[name] for name in NETWORKS.values() if name in out} | {"luma": luma[:, None]}

    def predict(
        params: Tree,
        stats: Tree,
        ids: list[str],
        *,
        labels: Int[np.ndarray, "N"] | None = None,
        views: tuple[View, ...] = (CENTRE,),
        average: str = "logits",
        light: Light | None = None,
    ) -> Predictions:
        parts: dict[str, list[np.ndarray]] = {}
        rows = local_rows(mesh, config.train.batch_size)
        batches = eval_batches(records, config, ids, rows=rows, views=views, light=light)
        with contextlib.closing(batches):
            for batch in batches:
                if stop and stop.at_this_step():
                    raise Stopped(f"stopped by SIGTERM while scoring {len(ids)} clips")
                arrays = put_batch(batch, mesh)
                kept = forward(params, stats, make_eval_streams(arrays, config, len(records.classes)))
                for name, logits in kept.items():
                    parts.setdefault(name, []).append(gather_rows(logits))
        predictions = {}
        for name, batched in parts.items():
            logits = np.concatenate(batched)[: len(ids) * len(views)]
            logits = logits.reshape(len(ids), len(views), -1)  # [N*V, K] -> [N, V, K]
            predictions[name] = metrics.average_views(logits, average if name != "luma" else "logits")
        predictions["luma"] = predictions["luma"][:, 0]  # [N, 1] -> [N]
        labels = np.array([records.rows[i][1] for i in ids]) if labels is None else labels
        loss = metrics.cross_entropy(predictions["logits"], labels)
        return {**predictions, "labels": labels, "loss": np.float64(loss)}

    return predict


def test_results(config: Config, records: Records, ids: list[str], predictions: Predictions) -> dict:
    """results.json: teacher and student on the same examples, from one pass over them."""
    return {
        "dataset": config.dataset,
        "fold": config.data.fold,
        "split": "test",
        "views": "1x1",
        "num_examples": len(ids),
        "classes": list(records.classes),
        **judge_networks(predictions, groups_of(records, ids), records.classes),
    }


def groups_of(records: Records, ids: list[str]) -> list[str]:
    """The scene or actor of each clip; a clip without one is its own."""
    return [records.rows[i][2] or i for i in ids]


def judge_networks(predictions: Predictions, groups: list[str], classes: tuple[str, ...]) -> dict[str, dict | None]:
    """{"teacher": ..., "student": ...} as of `metrics.judge`; None for a network that is not there."""
    labels = predictions["labels"]
    return {
        network: metrics.judge(predictions[name], labels, groups, classes) if name in predictions else None
        for network, name in NETWORKS.items()
    }
