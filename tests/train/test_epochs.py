"""Where epochs end, and their means."""

import json

import pytest

from lift_flax.train import epochs


@pytest.mark.parametrize("batch_size", [1, 3, 8, 32])
def test_every_epoch_ends_at_a_step(batch_size):
    for examples in range(1, 600, 7):
        ends = epochs.epoch_ends(examples, batch_size, 60)
        assert ends[max(ends)] == 60 and (max(ends) - 1) * batch_size < 60 * examples <= max(ends) * batch_size
        assert list(ends) == sorted(ends) and list(ends.values()) == sorted(ends.values())


def test_means_go_on_where_a_run_was_stopped():
    """To the last bit, through the JSON of a checkpoint."""
    steps = [{"loss": 0.1 * i, "top1": i / 7, "grad_norm": 1.0} for i in range(1, 9)]
    whole = epochs.EpochMeans()
    assert whole.read() == {} and whole.sums() == {}
    for step in steps:
        whole.add(step)
    first = epochs.EpochMeans()
    for step in steps[:3]:
        first.add(step)
    second = epochs.EpochMeans(json.loads(json.dumps(first.sums())))
    for step in steps[3:]:
        second.add(step)
    assert second.read() == whole.read() == {"loss": pytest.approx(0.45), "top1": pytest.approx(36 / 56)}
    second.restart()
    assert second.read() == {} and second.sums() == {}


@pytest.mark.parametrize(("examples", "batch", "given", "least", "expected"), [
    (80, 8, 20, 600, 60), (660, 8, 20, 600, 20), (81, 8, 20, 600, 60), (79, 8, 20, 600, 61), (80, 8, 20, 0, 20),
])  # fmt: skip
def test_small_sets_get_more_epochs(examples, batch, given, least, expected):
    found = epochs.enough_epochs(examples, batch, given, least)
    assert found == expected and max(epochs.epoch_ends(examples, batch, found)) >= least


def test_patience_ends_after_so_many_epochs_without_a_better_one():
    """A tie is no better; a run that resumes goes on from the same count."""
    patience = epochs.Patience(2)
    over = []
    for score in (0.3, 0.5, 0.5, 0.6, 0.6, 0.2):
        patience.see(score)
        over.append(patience.is_over)
        patience = epochs.Patience(2, json.loads(json.dumps(patience.seen())))
    assert over == [False] * 5 + [True]
    never = epochs.Patience(0)
    for score in (0.5, 0.1, 0.1):
        never.see(score)
    assert not never.is_over and never.seen() == {}


@pytest.mark.parametrize(
    ("examples", "batch", "every", "count"), [(48, 8, 4, 5), (3, 8, 4, 5), (3, 8, 7, 3), (48, 8, 1, 20)]
)
def test_so_many_epochs_are_saved_as_end_between_two(examples, batch, every, count):
    """Also where a batch holds several epochs, so that not each of them is seen to end."""
    ends = epochs.epoch_ends(examples, batch, 20)
    saved = epochs.saved_steps(ends, every)
    assert len(saved) == min(count, len(ends)) and max(ends) in saved
    assert epochs.thinned(2, [8, 6]) == (12, ["validated and saved every 12 epochs"]) and epochs.thinned(2, [1, 3]) == (
        2,
        [],
    )
