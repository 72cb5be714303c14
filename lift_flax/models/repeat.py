"""Blocks that are alike, run one after the other: compiled once, and optionally computed again for the gradient.

A loop in Python over N blocks gives the compiler N copies of the same program, and most of a large network's
compilation time goes there.  Here their parameters, which stay stored block by block, are stacked while the program
runs and one `jax.lax.scan` goes through them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def repeat(
    call: Callable[[nnx.Module, Any], Any],
    blocks: Sequence[nnx.Module],
    carry: Any,
    *,
    remat: bool,
    unroll: bool = False,
) -> Any:
    """`for block in blocks: carry = call(block, carry)`, with the batch statistics that `call` sets.

    Args:
      call: applies one block; what it returns has the shapes and dtypes of `carry`, unless there is only one block.
      blocks: alike in structure and shapes.  A single one is called directly, without a loop.  Frozen and trained
        blocks should not be mixed: the stack of their parameters would be differentiated whole.
      carry: arrays.
      remat: keep only every block's input for the gradient and compute what is inside again (jax.checkpoint).
      unroll: a loop in Python after all, for programs that only answer: the stack is a copy of all parameters.
    """
    if not remat and (unroll or len(blocks) == 1):
        for block in blocks:
            carry = call(block, carry)
        return carry
    if not blocks:
        return carry
    graphdef = nnx.graphdef(blocks[0])
    states = [nnx.state(block) for block in blocks]

    def body(carry, state):
        block = nnx.merge(graphdef, state)
        carry = call(block, carry)
        return carry, nnx.state(block, nnx.BatchStat)

    if remat:  # inside a scan nothing can be merged with the first computation, so no barrier is needed
        body = jax.checkpoint(body, prevent_cse=len(blocks) == 1)
    if len(blocks) == 1:
        carry, statistics = body(carry, states[0])
        nnx.update(blocks[0], statistics)
        return carry
    carry, statistics = jax.lax.scan(body, carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    for i, block in enumerate(blocks):
        nnx.update(block, jax.tree.map(lambda leaf, i=i: leaf[i], statistics))
    return carry
