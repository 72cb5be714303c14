"""Checkpoints of one phase: which step is used, what is saved beside it, and what a damaged file costs."""

import contextlib
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.runs.checkpoints import Checkpoints, best_step, read_best
from lift_flax.train.run import train_and_test
from tests.support.run_tools import assert_same_state, newest_state
from tests.support.small_config import small_config


def _state(step: int) -> dict:
    return {"params": {"kernel": jnp.full((2, 3), step, jnp.float32)}, "batch_stats": {"mean": jnp.zeros(3)}}


def _shapes() -> dict:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _state(0))


def _write(folder: Path, top1: list[float | None]) -> None:
    """Saves steps 1, 2, ... with these accuracies on validation."""
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        for step, accuracy in enumerate(top1, 1):
            data = {"examples": 4 * step, "epoch": {"steps": 1.0, "loss": 0.1 + 0.2}}
            checkpoints.save(step, _state(step), data=data, score=accuracy)


def _steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _damage(step: Path) -> None:
    for file in (step / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


@pytest.mark.parametrize(("top1", "best", "kept"), [
    ([0.5, 0.9, 0.7, 0.8], 2, ["2", "3", "4"]),
    ([0.5, 0.5, 0.4], 2, ["2", "3"]),
    ([None, None, None], 3, ["2", "3"]),
    ([0.1, 0.6, None, None], 2, ["2", "3", "4"]),
], ids=["best", "tie", "no validation", "saved by chance"])  # fmt: skip
def test_the_best_on_validation_is_used_else_the_last(tmp_path, top1, best, kept):
    _write(folder := tmp_path / "student", top1)
    assert _steps(folder) == kept and best_step(folder) == best
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        state, step = checkpoints.restore_best(_shapes())
        assert step == best and float(state["params"]["kernel"][0, 0]) == best
        assert checkpoints.newest_step() == len(top1)
    for stated in folder.glob("*/metrics/metrics"):  # of an earlier version
        stated.write_text(stated.read_text().replace('"score"', '"top1"'))
        assert '"top1"' in stated.read_text()
    params, batch_stats, step = read_best(folder)
    assert step == best and isinstance(params["kernel"], np.ndarray) and params["kernel"].tolist() == [[best] * 3] * 2
    assert batch_stats["mean"].tolist() == [0, 0, 0] and _steps(folder) == kept


def test_what_is_saved_beside_a_state_comes_back_to_the_last_bit(tmp_path):
    _write(folder := tmp_path / "student", [None, None])
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        state, data = checkpoints.restore_newest(_shapes())
    assert data == {"examples": 8, "epoch": {"steps": 1.0, "loss": 0.1 + 0.2}}
    assert float(state["params"]["kernel"][1, 2]) == 2


def test_a_save_that_was_cut_off_is_never_seen(tmp_path):
    _write(folder := tmp_path / "student", [None, None])
    (folder / "3.orbax-checkpoint-tmp" / "state").mkdir(parents=True)  # as kill -9 leaves it
    assert best_step(folder) == 2
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        assert checkpoints.newest_step() == 2 and checkpoints.restore_newest(_shapes())[1]["examples"] == 8
        checkpoints.save(3, _state(3), data={"examples": 12})
    assert _steps(folder) == ["2", "3"]


def test_a_damaged_step_is_put_aside_and_the_one_before_used(tmp_path, caplog):
    _write(folder := tmp_path / "student", [None, None])
    _damage(folder / "2")
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        state, data = checkpoints.restore_newest(_shapes())
    assert data["examples"] == 4 and float(state["params"]["kernel"][0, 0]) == 1
    assert "student/2 does not restore" in caplog.text
    assert _steps(folder) == ["1", "2.damaged"]  # nothing is thrown away


def test_where_no_step_restores_none_is_put_aside(tmp_path):
    _write(folder := tmp_path / "student", [None, None])
    for step in ("1", "2"):
        _damage(folder / step)
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        with pytest.raises(UserError, match=r"no checkpoint in .*student restores \(tried \[2, 1\]\)"):
            checkpoints.restore_newest(_shapes())
    assert _steps(folder) == ["1", "2"]
    again = f"copy the workdir again, or remove {tmp_path}/results.json and run the training command again"
    for damage in (lambda: None, lambda: shutil.rmtree(folder / "2" / "state")):
        damage()
        with pytest.raises(
            UserError, match="student/2 does not restore .files in it are damaged or missing.: " + again
        ):
            read_best(folder)


def test_an_empty_folder_has_no_best_step(tmp_path):
    assert best_step(tmp_path / "student") is None
    with pytest.raises(UserError, match="holds no checkpoint: train first"):
        read_best(tmp_path / "student")
    with contextlib.closing(Checkpoints(tmp_path / "student")) as checkpoints:
        assert checkpoints.restore_newest(_shapes()) is None
        with pytest.raises(UserError, match="holds no checkpoint: train first"):
            checkpoints.restore_best(_shapes())


@pytest.mark.slow
def test_a_run_goes_on_from_before_a_damaged_checkpoint(run, records, tmp_path, caplog):
    config, workdir = small_config(records=records), tmp_path / "workdir"
    shutil.copytree(run, workdir)
    (workdir / "results.json").unlink()
    _damage(workdir / "student" / "9")
    train_and_test(config, workdir)
    assert "student/9 does not restore" in caplog.text
    assert (workdir / "student" / "9.damaged").is_dir()  # nothing is thrown away
    assert_same_state(newest_state(workdir, "student", config), newest_state(run, "student", config))
