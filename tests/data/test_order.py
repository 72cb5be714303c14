"""The order of training clips where folders or classes have shares."""

import collections
import pickle

import numpy as np
import pytest

from lift_flax.data.order import DrawnOrder

GROUPS = [np.arange(10), np.arange(10, 14), np.array([14])]


@pytest.mark.parametrize(
    ("shares", "expected"), [((1, 1, 1), (5, 5, 5)), ((4, 1, 1), (10, 3, 2)), ((10, 4, 1), (10, 4, 1))]
)
def test_every_pass_has_the_shares(shares, expected):
    order = DrawnOrder(GROUPS, shares, seed=3)
    for number in range(4):
        drawn = [order[15 * number + place] for place in range(15)]
        counts = [sum(place in group for place in drawn) for group in GROUPS]
        assert tuple(counts) == expected


def test_a_clip_comes_again_when_all_of_its_group_have_been_drawn():
    order = DrawnOrder(GROUPS, (1, 1, 1), seed=3)
    drawn = [place for place in (order[i] for i in range(60)) if place < 10]  # 20 of ten clips
    assert collections.Counter(drawn) == dict.fromkeys(range(10), 2)


def test_it_is_a_function_of_seed_and_index():
    order, again, other = (DrawnOrder(GROUPS, (2, 1, 1), seed) for seed in (3, 3, 4))
    whole = [order[i] for i in range(45)]
    assert [again[i] for i in reversed(range(45))] == whole[::-1]
    assert whole != [other[i] for i in range(45)] and whole[:15] != whole[15:30]
    assert [pickle.loads(pickle.dumps(order))[i] for i in range(20, 30)] == whole[20:30]
    assert list(order[20:23]) == whole[20:23] and len(order) > 10**6
