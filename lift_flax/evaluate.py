"""Scoring a network on a list of clips: every example once, in order, whatever the batch or the number of devices."""

import contextlib
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from lift_flax import losses, metrics, sharding
from lift_flax.cluster import Stopped, StopSignal
from lift_flax.config import Config
from lift_flax.data.augment import make_eval_views
from lift_flax.data.records import Records, eval_batches
from lift_flax.phases import Phase
from lift_flax.state import Tree

# {"logits" [N, K], "teacher_logits" [N, K] where the network has a teacher, "labels" [N], "loss" []}
Predictions = dict[str, np.ndarray]
Predictor = Callable[[Tree, Tree, list[str]], Predictions]


def make_predictor(
    phase: Phase, config: Config, records: Records, mesh: Mesh, stop: StopSignal | None = None
) -> Predictor:
    """A function from (params, batch_stats, ids) to predictions, compiled once.

    With `stop` it raises Stopped between two batches when that comes: for what can be done again.
    """

    @jax.jit
    def forward(params, stats, views):
        out, _ = phase.outputs(params, stats, views, train=False)
        loss = losses.cross_entropy(out["logits"], views["targets"], views["weight"])
        kept = {name: out[name] for name in ("logits", "teacher_logits") if name in out}
        return kept, loss * views["weight"].sum()

    def predict(params: Tree, stats: Tree, ids: list[str]) -> Predictions:
        parts: dict[str, list[np.ndarray]] = {}
        total = 0.0
        rows = sharding.local_rows(mesh, config.train.batch_size)
        batches = eval_batches(records, config, ids, rows=rows)
        with contextlib.closing(batches):
            for batch in batches:
                if stop and stop.at_this_step():
                    raise Stopped(f"stopped by SIGTERM while scoring {len(ids)} clips")
                arrays = sharding.put_batch(batch, mesh)
                kept, loss = forward(params, stats, make_eval_views(arrays, config, len(records.classes)))
                total += float(loss)
                for name, rows in kept.items():
                    parts.setdefault(name, []).append(sharding.gather_rows(rows))
        predictions = {name: np.concatenate(rows)[: len(ids)] for name, rows in parts.items()}
        predictions["labels"] = np.array([records.rows[i][1] for i in ids])
        predictions["loss"] = np.float64(total / len(ids))
        return predictions

    return predict


def test_results(config: Config, records: Records, ids: list[str], predictions: Predictions) -> dict:
    """results.json: teacher and student on the same examples, from one pass over them."""

    def scored(name: str) -> dict | None:
        if name not in predictions:
            return None
        logits, labels = predictions[name], predictions["labels"]
        counts = metrics.confusion(logits, labels).tolist()
        return {**metrics.score(logits, labels, records.classes), "confusion": counts}

    return {
        "dataset": config.dataset,
        "fold": config.data.fold,
        "split": "test",
        "views": "1x1",
        "num_examples": len(ids),
        "classes": list(records.classes),
        "teacher": scored("teacher_logits"),
        "student": scored("logits"),
    }
