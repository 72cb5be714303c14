"""Blocks that are alike, run one after the other: compiled once, and optionally computed again for the gradient.

A loop in Python over N blocks gives the compiler N copies of the same program, and most of a large network's
compilation time goes there.  Here their parameters, which stay stored block by block, are stacked while the program
runs and one `jax.lax.scan` goes through them.  A CPU's compiler is quick enough with the copies, and stacking costs
more there than it saves: on a CPU it is the loop (docs/performance.md).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def scan_blocks(
    call: Callable[[nnx.Module, Any], Any],
    blocks: Sequence[nnx.Module],
    carry: Any,
    *,
    remat: bool,
    unroll: bool | None = None,
) -> Any:
    """`for block in blocks: carry = call(block, carry)`, with the batch statistics that `call` sets.

    Args:
      call: applies one block; what it returns has the shapes and dtypes of `carry`, unless there is only one block.
      blocks: alike in structure and shapes.  A single one is called directly, without a loop.  Frozen and trained
        blocks should not be mixed: the stack of their parameters would be differentiated whole.
      carry: arrays.
      remat: keep only every block's input for the gradient and compute what is inside again (jax.checkpoint).
      unroll: a loop in Python instead of the scan: also for programs that only answer, as the stack is a copy of all
        parameters.  None: where the program is for CPUs.
    """
    if len(blocks) < 2 or (_for_cpu() if unroll is None else unroll):
        for block in blocks:
            carry = _checkpointed(call, block, carry) if remat else call(block, carry)
        return carry
    states = [nnx.state(block) for block in blocks]
    body = _pure(call, blocks[0])
    if remat:  # inside a scan nothing can be merged with the first computation, so no barrier is needed
        body = jax.checkpoint(body, prevent_cse=False)
    carry, statistics = jax.lax.scan(body, carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    for i, block in enumerate(blocks):
        nnx.update(block, jax.tree.map(lambda leaf, i=i: leaf[i], statistics))
    return carry


def _for_cpu() -> bool:
    """Whether what is traced will run on CPUs: the devices of the mesh, or without one JAX's default."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return (device.platform if device else jax.default_backend()) == "cpu"


def _checkpointed(call: Callable[[nnx.Module, Any], Any], block: nnx.Module, carry: Any) -> Any:
    carry, statistics = jax.checkpoint(_pure(call, block))(carry, nnx.state(block))
    nnx.update(block, statistics)
    return carry


def _pure(call: Callable[[nnx.Module, Any], Any], block: nnx.Module) -> Callable[[Any, nnx.State], tuple]:
    """`call` with blocks like `block`, as (carry, the block's arrays) -> (carry, its batch statistics)."""
    graphdef = nnx.graphdef(block)

    def pure(carry, state):
        block = nnx.merge(graphdef, state)
        carry = call(block, carry)
        return carry, nnx.state(block, nnx.BatchStat)

    return pure
