"""Networks as pure functions, and training state as plain nested dicts.

A state is {"params", "batch_stats", "opt_state", "step"}, and with a moving average of the trained weights "average".
NNX modules are split once here and merged again only inside the jitted functions, so everything else sees nothing but
dicts of arrays with string keys (and optax's own tuples in "opt_state").
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Key

Tree = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """A module without its arrays: `apply(params, batch_stats, *inputs, train)` gives outputs and new statistics."""

    graphdef: Any

    def module(self, params: Tree, batch_stats: Tree) -> nnx.Module:
        """The module with these arrays in it."""
        return nnx.merge(self.graphdef, _with_integer_keys(params), _with_integer_keys(batch_stats))

    def apply(
        self, params: Tree, batch_stats: Tree, *inputs, train: bool, method: str = "__call__"
    ) -> tuple[dict, Tree]:
        """Calls a method of the module."""
        model = self.module(params, batch_stats)
        out = getattr(model, method)(*inputs, train=train)
        return out, _with_string_keys(nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))


def create(make: Callable[[nnx.Rngs], nnx.Module], seed: int) -> tuple[Network, Callable[[], tuple[Tree, Tree]]]:
    """The module that `make` makes, as (network, draw).

    `draw()` gives its (params, batch_stats), drawn from `seed`: call it inside jit, or in `jax.eval_shape` for shapes.
    The values are those of `make(nnx.Rngs(seed))`.
    """
    drawn = []  # one entry for each key that `make` draws

    def any_key() -> Key[Array, ""]:
        drawn.append(None)
        return jax.random.key(seed)

    graphdef = nnx.graphdef(nnx.eval_shape(lambda: make(_Keys(any_key))))

    def draw() -> tuple[Tree, Tree]:
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(len(drawn)))
        return trees_of(make(_Keys(iter(keys).__next__)))

    return Network(graphdef), draw


class _Keys(nnx.Rngs):
    """An nnx.Rngs that hands out precomputed keys.

    Modules take an nnx.Rngs, which counts its keys in an array.  Reading that array while tracing takes longer the more
    was traced: seconds for a network with hundreds of parameters.
    """

    def __init__(self, next_key: Callable[[], Key[Array, ""]]):
        super().__init__()
        self.params = next_key


def trees_of(model: nnx.Module) -> tuple[Tree, Tree]:
    """(params, batch_stats) of a module: arrays, or shapes where `nnx.eval_shape` made it."""
    _, params, stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    return _with_string_keys(nnx.to_pure_dict(params)), _with_string_keys(nnx.to_pure_dict(stats))


def _with_string_keys(tree):
    return {str(k): _with_string_keys(v) if isinstance(v, dict) else v for k, v in tree.items()}


def _with_integer_keys(tree):
    return {int(k) if k.isdigit() else k: _with_integer_keys(v) if isinstance(v, dict) else v for k, v in tree.items()}


def flatten(tree: Tree) -> dict[str, Any]:
    """{"layer1/0/conv1/spatial/kernel": array, ...}"""
    return flatten_dict(tree, sep="/")


def unflatten(flat: dict[str, Any]) -> Tree:
    """The inverse of `flatten`."""
    return unflatten_dict(flat, sep="/")


def new_state(params: Tree, batch_stats: Tree, opt_state: Any) -> Tree:
    """The state of a phase at its first step."""
    return {"params": params, "batch_stats": batch_stats, "opt_state": opt_state, "step": jnp.zeros((), jnp.int32)}


def answering(state: Tree) -> tuple[Tree, Tree]:
    """The (params, batch_stats) that a phase's network answers with: where a moving average is kept, that."""
    params, batch_stats = state["params"], state["batch_stats"]
    if "average" in state:
        params = unflatten({**flatten(params), **flatten(state["average"]["params"])})
        batch_stats = state["average"]["batch_stats"]
    return params, batch_stats


def count_parameters(params: Any) -> int:
    """How many numbers a tree of arrays or shapes holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
