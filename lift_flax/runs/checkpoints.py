"""Checkpoints of one phase, in one folder: the newest to resume from, and the best for all later use.

The only file that knows orbax.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from lift_flax.distributed import processes
from lift_flax.errors import UserError
from lift_flax.models.functional import answering

_METRIC = "score"  # of validation, the more the better
_EARLIER = "top1"  # its name in earlier versions


class _Manager(ocp.CheckpointManager):
    """Without orbax's own check for preemption, which `processes.StopSignal` makes.

    Two callers of `reached_preemption_sync_point` with different counters would both miss the signal.
    """

    def reached_preemption(self, step: int) -> bool:
        del step
        return False


class Checkpoints:
    """The checkpoints in `folder`, saved in the background.

    A step that is not whole is never seen, and one that does not restore is reported.
    """

    def __init__(self, folder: Path):
        best = preservation_policy.BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False)
        keep = preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(2), best])
        options = ocp.CheckpointManagerOptions(
            best_fn=_score, best_mode="max", preservation_policy=keep, cleanup_tmp_directories=True
        )
        self._folder = folder
        self._restored_step: int | None = None
        self._manager = _Manager(folder.absolute(), options=options)

    def save(self, step: int, state: Any, *, data: dict[str, Any], score: float | None = None) -> None:
        """Saves `state`, and where the run stands beside it.

        Nothing is written where the disk has too little room.

        Args:
          data: as JSON; "examples" is the number of examples seen.
          score: of validation, decides which step is best; None where the step is no candidate.

        Raises:
          UserError: this save or the one before it cannot be written; steps saved earlier are kept.
        """
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(data))
        metrics = None if score is None else {_METRIC: score}
        self.wait()  # the save before this one takes room too
        with processes.all_or_none():
            if processes.is_first():
                self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
        with self._readable_errors():
            self._manager.save(step, args=items, metrics=metrics, force=True)

    def wait(self) -> None:
        """Waits for the last save to be whole on disk.  Raises UserError where it cannot be written."""
        with self._readable_errors():
            self._manager.wait_until_finished()

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if size > free:
            raise self._cannot_save(f"it needs {size / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free")

    @contextlib.contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Turns an error of writing into a UserError of one line."""
        try:
            yield
        except (OSError, ValueError) as error:  # tensorstore's errors are ValueErrors
            reason = str(error).splitlines()[0]
            if len(reason) > 300:
                reason = f"{reason[:140]} ... {reason[-140:]}"  # what failed stands first, why stands last
            raise self._cannot_save(reason) from error

    def _cannot_save(self, reason: str) -> UserError:
        last = self.newest_step()
        kept = f"step {last} is kept" if last is not None else "no step was saved before"
        return UserError(
            f"cannot save a checkpoint in {self._folder} ({reason}); {kept}: see that there is room and the folder "
            "may be written to, then run the same command again"
        )

    def newest_step(self) -> int | None:
        """The newest step that is whole on disk."""
        return max((int(path.name) for path in self._folder.iterdir() if path.name.isdigit()), default=None)

    def restore_newest(self, state: Any) -> tuple[Any, dict[str, Any]] | None:
        """(state, data) of the newest step that restores, as they were saved; None where there is no checkpoint.

        Args:
          state: the same tree as shapes, with the shardings wanted.
        Raises:
          UserError: there are checkpoints, but none can be read.
        """
        return self._restore_first(sorted(self._manager.all_steps(), reverse=True), state)

    def restore_best(self, state: Any) -> tuple[Any, int]:
        """(state, step) of the best validation, or of the last step where nothing was validated.

        Raises:
          UserError: there is no checkpoint, or none can be read.
        """
        self.wait()
        steps = sorted(self._manager.all_steps(), reverse=True)
        best = self._manager.best_step()
        if not steps:
            raise UserError(f"{self._folder} holds no checkpoint: train first")
        order = sorted(steps, key=lambda step: step != best)  # the best, then from the newest down
        restored = self._restore_first(order, state)
        assert restored is not None and self._restored_step is not None  # there are steps
        return restored[0], self._restored_step

    def _restore_first(self, steps: list[int], state: Any) -> tuple[Any, dict[str, Any]] | None:
        """The first of `steps` that restores; those before it are reported and then renamed to STEP.damaged.

        Where none restores, nothing is renamed: then the disk or this program is at fault, not the files.
        """
        for tried, step in enumerate(steps):
            try:
                restored = self._restore_or_report(step, state)
            except UserError as error:
                logging.warning("%s/%s does not restore (%s): trying another", self._folder, step, error)
                continue
            with processes.all_or_none():
                for damaged in steps[:tried] if processes.is_first() else ():
                    self._put_aside(damaged)
            if tried:
                self._manager.reload()
            self._restored_step = step
            return restored
        if steps:
            raise UserError(
                f"no checkpoint in {self._folder} restores (tried {steps}): see that the disk can be read, or remove "
                "the folder to train this phase again"
            )
        return None

    def _restore_or_report(self, step: int, state: Any) -> tuple[Any, dict[str, Any]]:
        """Restores a step.  With several processes the first one reads it whole before, to find any damage.

        They restore their parts together: where one of them failed, the others would wait for it in vain.
        """
        if jax.process_count() > 1:
            with processes.all_or_none():
                if processes.is_first():
                    _read_state(self._folder / str(step) / "state")
            return self._restore(step, state)
        with _damage_reported():
            return self._restore(step, state)

    def _put_aside(self, step: int) -> None:
        aside = self._folder / f"{step}.damaged"
        shutil.rmtree(aside, ignore_errors=True)
        (self._folder / str(step)).rename(aside)

    def _restore(self, step: int, state: Any) -> tuple[Any, dict[str, Any]]:
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), data=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=items)
        return restored["state"], restored["data"]

    def close(self) -> None:
        """Waits for the last save, unless that has failed, and closes the folder."""
        try:
            self.wait()
        finally:
            self._manager.close()


def read_best(folder: Path) -> tuple[Any, Any, int]:
    """(params, batch_stats, step) of a phase's best checkpoint as numpy arrays, wherever it was trained.

    Only reads: nothing is put aside or cleaned up.
    Raises:
      UserError: there is none, or it cannot be read.
    """
    step = best_step(folder)
    if step is None:
        raise UserError(f"{folder} holds no checkpoint: train first")
    try:
        state = _read_state(folder.absolute() / str(step) / "state")
    except UserError as error:
        raise UserError(
            f"{folder}/{step} does not restore ({error}): copy the workdir again, or remove "
            f"{folder.parent / 'results.json'} and run the training command again"
        ) from error
    return *answering(state), step


def best_step(folder: Path) -> int | None:
    """The best step on validation, else the last; None where there is no checkpoint."""
    if not folder.is_dir():
        return None
    options = ocp.CheckpointManagerOptions(
        best_fn=_score, best_mode="max", read_only=True, create=False, multiprocessing_options=_alone()
    )
    with ocp.CheckpointManager(folder.absolute(), options=options) as manager:
        return manager.best_step() or manager.latest_step()


def _alone() -> ocp.options.MultiprocessingOptions:
    """Options for reading by this process alone."""
    return ocp.options.MultiprocessingOptions(primary_host=jax.process_index(), active_processes={jax.process_index()})


def _read_state(path: Path) -> Any:
    """A whole state as numpy arrays, read by this process alone.  Raises UserError where it cannot be read."""
    with _damage_reported():
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
        with ocp.Checkpointer(handler, multiprocessing_options=_alone()) as reader:
            metadata = reader.metadata(path).item_metadata
            if metadata is None:
                raise UserError("files in it are damaged or missing")
            types = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata.tree)
            return reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=types))


@contextlib.contextmanager
def _damage_reported() -> Iterator[None]:
    """Turns whatever a damaged file makes the readers raise into a UserError of one line."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError):
        raise  # a lost process or too little memory is no damage of the file
    except Exception as error:
        raise UserError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _score(metrics: dict[str, float]) -> float:
    return metrics[_METRIC] if _METRIC in metrics else metrics[_EARLIER]
