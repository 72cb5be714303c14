"""The order of training clips where folders or classes have shares."""

import collections
import pickle

import numpy as np
import pytest

from lift_flax.data.order import DrawnOrder

GROUPS = [np.arange(10), np.arange(10, 14), np.array([14])]


def _counts(order: DrawnOrder, passes: int) -> np.ndarray:
    """How often each group is drawn in each pass."""
    drawn = [order[place] for place in range(15 * passes)]
    parts = [drawn[15 * number : 15 * number + 15] for number in range(passes)]
    return np.array([[sum(place in group for place in part) for group in GROUPS] for part in parts])


@pytest.mark.parametrize("shares", [(1, 1, 1), (10, 4, 1)])
def test_every_pass_has_whole_shares(shares):
    expected = 15 * np.array(shares) / sum(shares)
    assert (_counts(DrawnOrder(GROUPS, shares, seed=3), 4) == expected).all()


def test_broken_shares_are_right_on_average():
    """No group is left out for ever, however small its share, and none has more than its own."""
    counts = _counts(DrawnOrder(GROUPS, (4, 1.2, 0.1), seed=3), 60)
    expected = 15 * np.array([4, 1.2, 0.1]) / 5.3
    assert np.abs(counts - expected).max() < 1 + 1e-9
    np.testing.assert_allclose(counts.mean(axis=0), expected, atol=0.15)
    assert counts[:, 2].max() == 1 > counts[:, 2].min()


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
