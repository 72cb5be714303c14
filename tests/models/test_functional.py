"""State as nested dicts of arrays."""

from lift_flax.models import functional


def test_state_trees_flatten_and_come_back():
    tree = {"a": {"0": {"kernel": 1}, "10": {"kernel": 2}}, "b": 3}
    assert functional.flatten(tree) == {"a/0/kernel": 1, "a/10/kernel": 2, "b": 3}
    assert functional.unflatten(functional.flatten(tree)) == tree
