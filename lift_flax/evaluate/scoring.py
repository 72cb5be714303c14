"""Scores a network on a list of clips: each clip once, in order, for any batch size and any number of devices."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from lift_flax.augment.streams import make_eval_streams
from lift_flax.config import Config
from lift_flax.data.batches import eval_batches
from lift_flax.data.clip_reader import ChangeLight
from lift_flax.data.records import Records
from lift_flax.data.windows import usual_average
from lift_flax.distributed.mesh import everywhere, gather_rows, local_rows, put_batch
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.evaluate import metrics
from lift_flax.features.frozen_vit import FrozenViT
from lift_flax.models.functional import Tree
from lift_flax.video.gamma import LUMA
from lift_flax.video.sampling import View, view_grid

NETWORKS = {"teacher": "teacher_logits", "student": "logits"}  # the name of each network's logits
COMPARED = ("agreement", "over_teacher")  # what `compare` gives

# {"logits" [N, K], "teacher_logits" [N, K] where the network has a teacher, "labels" [N], "loss" [],
# "luma" [N]: mean of the frames that were scored, 0 to 255}
SplitLogits = dict[str, np.ndarray]


class ScoreClips:
    """Computes the logits of clips; compiled at the first call.

    Args:
      outputs: (params, batch_stats, streams, train) -> (outputs, new statistics), of a phase or of a trained run.
      config: gives the frames of a clip and the batch size.
      records: hold the clips.
      mesh: devices that share each batch.
      stop: raises Stopped between two batches when the run is asked to stop; scoring can then be repeated.
      vit: computes the ViT by itself, or keeps what it makes of each view; None leaves it to `outputs`.
    """

    def __init__(
        self,
        outputs: Callable,
        config: Config,
        records: Records,
        mesh: Mesh,
        stop: StopSignal | None = None,
        vit: FrozenViT | None = None,
    ):
        self._config, self._records, self._mesh, self._stop, self._vit = config, records, mesh, stop, vit

        @jax.jit
        def forward(params, stats, streams):
            out, _ = outputs(params, stats, streams, train=False)
            luma = (streams["dark"].astype(jnp.float32) @ jnp.array(LUMA)).mean(axis=(1, 2, 3))  # [B,T,H,W] -> [B]
            return {name: out[name] for name in NETWORKS.values() if name in out} | {"luma": luma[:, None]}

        self._forward = forward

    def __call__(
        self,
        params: Tree,
        stats: Tree,
        ids: list[str],
        *,
        labels: Int[np.ndarray, "N"] | None = None,
        views: tuple[View, ...] | None = None,
        average: str | None = None,
        light: ChangeLight | None = None,
    ) -> SplitLogits:
        """Scores the clips `ids`.

        Args:
          params, stats: of the network; they are copied to the devices once, before the first batch.
          labels: of the clips; None takes those of the records.
          views: test-time crops of each clip; None takes the windows of the config.
          average: what is averaged over the views (`metrics.average_views`); None takes the usual one, too.
          light: changes the light of the frames first (`eval_batches`).
        Raises:
          Stopped: the run was asked to stop.
        """
        parts: dict[str, list[np.ndarray]] = {}
        views = views or view_grid(self._config.data.test_windows, 1)
        average = average or usual_average(self._config)
        rows = local_rows(self._mesh, self._config.train.batch_size)
        params, stats = everywhere((params, stats), self._mesh)
        features = None
        if self._vit and not light:
            self._vit.keep_tests(ids, views, params, stats)
            features = self._vit.kept
        reading = {"rows": rows, "views": views, "light": light, "features": features}
        batches = eval_batches(self._records, self._config, ids, **reading)
        with contextlib.closing(batches):
            for batch in batches:
                if self._stop and self._stop.at_this_step():
                    raise Stopped(f"stopped by SIGTERM while scoring {len(ids)} clips")
                on_devices = put_batch(batch, self._mesh)
                with jax.transfer_guard("disallow"):  # nothing but the clips is copied for a batch
                    streams = make_eval_streams(on_devices, self._config, len(self._records.classes))
                    streams = self._vit.add_to(streams, params, stats) if self._vit else streams
                    outputs = self._forward(params, stats, streams)
                for name, values in outputs.items():
                    parts.setdefault(name, []).append(gather_rows(values))
        scored = {}
        for name, batched in parts.items():
            values = np.concatenate(batched)[: len(ids) * len(views)]
            values = values.reshape(len(ids), len(views), -1)  # [N*V, K] -> [N, V, K]
            scored[name] = metrics.average_views(values, "logits" if name == "luma" else average)
        scored["luma"] = scored["luma"][:, 0]  # [N, 1] -> [N]
        labels = np.array([self._records.index[i].label for i in ids]) if labels is None else labels
        return {**scored, "labels": labels, "loss": np.array(metrics.cross_entropy(scored["logits"], labels))}


def groups_of(records: Records, ids: list[str]) -> list[str]:
    """Returns the scene or actor of each clip; a clip without one is its own group."""
    return [records.index[i].group or i for i in ids]


def by_folder(scored: SplitLogits, records: Records, ids: list[str]) -> list[tuple[str, list[str], SplitLogits]]:
    """Splits what the clips `ids` scored: (folder of the records, its clips, their scores), of each that has clips."""
    if not records.is_mixed:
        return [(records.title, ids, scored)]
    part_of = np.array([records.index[i].part for i in ids])
    by_clip = {name: values for name, values in scored.items() if values.ndim}  # all but the loss
    return [
        (part.name, records.of_part(ids, part.name), {key: by_clip[key][part_of == part.name] for key in by_clip})
        for part in records.parts
        if (part_of == part.name).any()
    ]


def judge_parts(
    scored: SplitLogits, records: Records, ids: list[str], classes: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Returns {folder: {"num_examples", "teacher", "student", what `compare` gives}} of each folder that has some.

    Nothing where the records are of one folder.
    """
    found = {}
    for name, clips, own in by_folder(scored, records, ids) if records.is_mixed else []:
        groups = groups_of(records, clips)
        judged = {**judge_networks(own, groups, classes), **compare(own, groups)}
        found[name] = {"num_examples": len(clips), **judged}
    return found


def compare(scored: SplitLogits, groups: list[str]) -> dict[str, Any]:
    """Compares the student with its teacher on the same clips.

    Args:
      groups: scene or actor of each clip.
    Returns:
      "agreement", the share of clips that both answer alike, and "over_teacher", of `metrics.gain`: how much more of
      them the student has right.  Both are None where there is no teacher.
    """
    if NETWORKS["teacher"] not in scored:
        return dict.fromkeys(COMPARED)
    logits = {network: scored[name] for network, name in NETWORKS.items()}
    right = {network: scores.argmax(axis=1) == scored["labels"] for network, scores in logits.items()}
    alike = metrics.agreement(logits["teacher"], logits["student"])
    return {"agreement": alike, "over_teacher": metrics.gain(right["student"], right["teacher"], groups)}


def judge_networks(scored: SplitLogits, groups: list[str], classes: tuple[str, ...]) -> dict[str, dict | None]:
    """Returns {"teacher": ..., "student": ...}, each as `metrics.judge`, or None for a network that does not exist."""
    return {
        network: metrics.judge(scored[name], scored["labels"], groups, classes) if name in scored else None
        for network, name in NETWORKS.items()
    }
