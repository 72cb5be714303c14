"""Checkpoints of one phase, in one folder: the newest ones to resume from, and the best one to go on with.

The only file that knows orbax.
"""

import logging
from pathlib import Path
from typing import Any

import jax
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
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return self._restore(step, state)
            except (ValueError, OSError, KeyError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                logging.warning(
                    "checkpoint %s of %s does not restore (%s): trying the one before", step, self._folder, reason
                )
        if steps:
            raise UserError(
                f"no checkpoint in {self._folder} restores (tried {steps}): remove the folder to start again"
            )
        return None

    def restore_best(self, state: Any) -> tuple[Any, int]:
        """The state of the step with the best validation accuracy, or of the last step where nothing was validated."""
        step = self._manager.best_step()
        if step is None:
            step = self._manager.latest_step()
        if step is None:
            raise UserError(f"{self._folder} holds no checkpoint: train first")
        return self._restore(step, state)[0], step

    def _restore(self, step: int, state: Any) -> tuple[Any, int]:
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), data=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=items)
        return restored["state"], restored["data"]["examples"]

    def close(self) -> None:
        """Waits for the last save to be whole on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def _top1(metrics: dict[str, float]) -> float:
    return metrics[_METRIC]
