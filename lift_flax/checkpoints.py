"""Checkpoints of one phase, in one folder: the newest ones to resume from, and the best one to go on with.

The only file that knows orbax.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from lift_flax.errors import UserError

_METRIC = "top1"


class Checkpoints:
    """Saves in the background; a step that is not whole is never seen, one that does not restore is reported."""

    def __init__(self, folder: Path):
        best = preservation_policy.BestN(get_metric_fn=_top1, n=1, keep_checkpoints_without_metrics=False)
        keep = preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(2), best])
        options = ocp.CheckpointManagerOptions(
            best_fn=_top1, best_mode="max", preservation_policy=keep, cleanup_tmp_directories=True
        )
        self._folder = folder
        self._restored_step: int | None = None
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: Any, *, examples: int, validation: dict[str, float] | None) -> None:
        """Saves `state` and the position in the data (`examples` seen); `validation` decides which step is best."""
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave({"examples": examples}))
        metrics = {_METRIC: validation[_METRIC]} if validation else None
        self._manager.save(step, args=items, metrics=metrics, force=True)

    def restore_newest(self, state: Any) -> tuple[Any, int] | None:
        """(state, examples seen) of the newest step that restores, or None where there is none.

        Args:
          state: the same tree as arrays or shapes, with the shardings wanted.
        Raises:
          UserError: there are checkpoints, but none can be read.
        """
        return self._restore_first(sorted(self._manager.all_steps(), reverse=True), state)

    def restore_best(self, state: Any) -> tuple[Any, int]:
        """(state, step) of the best validation accuracy, or of the last step where nothing was validated.

        Raises:
          UserError: there is no checkpoint, or none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        best = self._manager.best_step()
        if not steps:
            raise UserError(f"{self._folder} holds no checkpoint: train first")
        order = sorted(steps, key=lambda step: step != best)  # the best, then from the newest down
        restored = self._restore_first(order, state)
        return restored[0], self._restored_step

    def _restore_first(self, steps: list[int], state: Any) -> tuple[Any, int] | None:
        """The first of `steps` that restores; those before it are reported and put aside, as STEP.damaged."""
        for step in steps:
            try:
                restored = self._restore(step, state)
                self._restored_step = step
                return restored
            except Exception as error:  # whatever a damaged file makes the readers raise
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                logging.warning("%s/%s does not restore (%s): trying another", self._folder, step, reason)
                aside = self._folder / f"{step}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self._folder / str(step)).rename(aside)
                self._manager.reload()
        if steps:
            raise UserError(
                f"no checkpoint in {self._folder} restores (tried {steps}): remove it to train this phase again"
            )
        return None

    def _restore(self, step: int, state: Any) -> tuple[Any, int]:
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), data=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=items)
        return restored["state"], restored["data"]["examples"]

    def close(self) -> None:
        """Waits for the last save to be whole on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def read_best(folder: Path) -> tuple[Any, Any, int]:
    """(params, batch_stats, step) of a phase's best checkpoint as numpy arrays, wherever it was trained.

    Only reads: nothing is put aside or cleaned up.
    Raises:
      UserError: there is none, or it cannot be read.
    """
    options = ocp.CheckpointManagerOptions(best_fn=_top1, best_mode="max", read_only=True)
    with ocp.CheckpointManager(folder.absolute(), options=options) as manager:
        step = manager.best_step() or manager.latest_step()
        if step is None:
            raise UserError(f"{folder} holds no checkpoint: train first")
        try:
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                path = folder.absolute() / str(step) / "state"
                tree = reader.metadata(path).item_metadata.tree
                types = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
                state = reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=types))
        except Exception as error:  # whatever a damaged file makes the readers raise
            raise UserError(f"{folder}/{step} does not restore ({error})") from error
    return state["params"], state["batch_stats"], step


def _top1(metrics: dict[str, float]) -> float:
    return metrics[_METRIC]
