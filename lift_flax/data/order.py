"""The endless order of training clips: a pure function of a global counter, so that a run resumes from its step alone.

Plain, every pass holds each clip once, shuffled anew.  With weights of folders, or balanced classes, a pass is as long,
but each group of clips has a share of it: its clips come again as soon as all of the group have been drawn.
"""

import functools
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np
from jaxtyping import Int

PASSES = 10**6  # over the training clips: endless in practice, and indices can still hold the count


def plain_order(count: int, seed: int) -> grain.MapDataset:
    """The sequence of training examples, as places in the list of clips."""
    return grain.MapDataset.range(count).seed(seed).shuffle().repeat(PASSES)


class DrawnOrder(grain.MapDataset):
    """The same where groups of clips have shares.

    Args:
      groups: places in the list of clips; no group is empty.
      shares: of each group in a pass, in any unit.
      seed: of all draws.
    """

    def __init__(self, groups: Sequence[Int[np.ndarray, "_"]], shares: Sequence[float | int], seed: int):
        super().__init__()
        self.groups = tuple(tuple(map(int, group)) for group in groups)
        self.length = sum(map(len, self.groups))
        ends = np.cumsum(np.array(shares, float)) / sum(shares) * self.length
        self.ends, self.order_seed = (*map(float, ends[:-1]), float(self.length)), seed

    def __len__(self) -> int:
        return self.length * PASSES

    def __getitem__(self, index) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        number, place = divmod(index % len(self), self.length)
        return int(_one_pass(self.groups, self.ends, self.order_seed, number)[place])


@functools.lru_cache(maxsize=4)
def _one_pass(
    groups: tuple[tuple[int, ...], ...], ends: tuple[float, ...], seed: int, number: int
) -> Int[np.ndarray, "N"]:
    """All places of pass `number`, shuffled.

    A group has its share in every pass, rounded up or down by a draw of the pass, so that it is right on average.

    Args:
      ends: how much of a pass the groups up to each one take; the last is its length.
    """
    offsets = np.random.default_rng(seed).random(number + 1)[:, None]  # the same ones for every number
    edges = np.floor(np.concatenate([np.zeros((number + 1, 1)), np.array(ends) + offsets], axis=1))
    counts = np.diff(edges, axis=1).astype(int)  # [number + 1, groups]: of each pass so far
    drawn = []
    for i, (group, before, count) in enumerate(zip(groups, counts[:-1].sum(0), counts[-1], strict=True)):
        for at in range(before, before + count):
            turn, place = divmod(at, len(group))
            drawn.append(group[_permutation(len(group), seed, i, turn)[place]])
    return np.random.default_rng([seed, number]).permutation(np.array(drawn))


@functools.lru_cache(maxsize=4096)
def _permutation(count: int, seed: int, group: int, turn: int) -> Int[np.ndarray, "N"]:
    """The order in which a group's clips are drawn for the time `turn`."""
    return np.random.default_rng([seed, group, turn]).permutation(count)
