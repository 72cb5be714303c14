"""Runs that are as good as trained where only their arrays count: nothing in them is at its initial value."""

import contextlib
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lift_flax.models.build import make_student
from lift_flax.models.functional import Network, Tree, create, flatten, unflatten
from lift_flax.runs import config_file
from lift_flax.runs.checkpoints import Checkpoints
from lift_flax.runs.trained import TrainedRun
from tests.support.small_config import small_config

CLASSES = ("down", "right", "still")
PREPARED = {"codec": "h264", "short_side": 256, "max_frames": 64, "flow": "dis"}


def random_trained(arg: str = "tiny", **overrides) -> TrainedRun:
    """A student of `small_config(arg, **overrides)` with random arrays."""
    config = small_config(arg, **overrides)
    made = random_network(functools.partial(make_student, config, len(CLASSES)))
    return TrainedRun(Path("nowhere"), config, CLASSES, PREPARED, "of these clips", *made, step=7)


def write_run(trained: TrainedRun, workdir: Path) -> None:
    """What `open_trained` reads of a run, as the run itself writes it."""
    workdir.mkdir()
    config_file.save(trained.config, workdir / "config.json")
    (workdir / "run.json").write_text(
        json.dumps({"classes": trained.classes, "prepared": trained.prepared, "train_digest": trained.train_digest})
    )
    state = {"params": trained.params, "batch_stats": trained.batch_stats}
    with contextlib.closing(Checkpoints(workdir / "student")) as checkpoints:
        checkpoints.save(trained.step, state, data={"examples": 0})


def random_network(make: Callable[[nnx.Rngs], nnx.Module]) -> tuple[Network, Tree, Tree]:
    """(network, params, batch_stats) of what `make` makes, drawn by NumPy: the networks' own draws are slow to compile.

    Kernels keep the size of activations; scales and variances lie around 1, everything else around 0.
    """
    network, draw = create(make, 0)
    rng = np.random.default_rng(3)

    def drawn(path: str, shape: tuple[int, ...]):
        leaf = path.rsplit("/", 1)[-1]
        if leaf.startswith("kernel"):
            return rng.normal(0, math.prod(shape[:-1]) ** -0.5, shape)
        return rng.uniform(-0.3, 0.3, shape) + (leaf in ("scale", "var"))

    def tree(shapes: Tree) -> Tree:
        flat = flatten(shapes).items()
        return unflatten({path: jnp.asarray(drawn(path, leaf.shape), jnp.float32) for path, leaf in flat})

    return network, *map(tree, jax.eval_shape(draw))
