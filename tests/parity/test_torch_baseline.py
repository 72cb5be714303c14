"""The PyTorch steps that benchmarks/compare.py times do the work of ours: same losses, same gradients, same counts."""

import argparse

import optax
import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make parity installs it")

from lift_flax.plan.flops import count_flops  # noqa: E402

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def check(monkeypatch):
    """The module of the comparison, from where scripts and what they share lie."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import torch_check

    return torch_check


@pytest.mark.parametrize("variant", ["direct", "savings", "teacher"])
def test_loss_and_gradients_are_ours(check, variant):
    errors = check.teacher_errors() if variant == "teacher" else check.student_errors(variant)
    print(variant, {what: f"{error:.2g}" for what, error in errors.items()})
    assert "gradients" in errors and max(errors.values()) <= 1e-3


@pytest.mark.parametrize(("variant", "phase"), [("savings", "student"), ("teacher", "teacher")])
def test_operations_are_counted_alike(check, variant, phase):
    """Where both sides do the same, PyTorch's counter and ours agree: what they say of the direct one is comparable.

    What they do not share is known: four blocks of our ViT compute their attention's scores again for the gradient, and
    the last one makes no keys and values, which have two products and two gradients in PyTorch.
    """
    import torch_baseline
    import train_step

    sizes = {"size": 112, "frames": 30, "n": 8, "batch": 1}
    theirs = torch_baseline.count_gflop(argparse.Namespace(**sizes, variant=variant, memory_format="channels_last_3d"))
    config = train_step.read_config(argparse.Namespace(**sizes, config="paper", precision="float32"))
    made, optimizer = train_step.make_phase(config, phase, sizes["batch"]), optax.sgd(0.0)
    step = made.make_step(made.network, config, optimizer)
    counts = count_flops(step, made.state_shapes(optimizer), train_step.random_streams(config, sizes["batch"]))
    ours = sum(counts.values()) / 1e9
    if phase == "student":
        frames, tokens, dim = sizes["frames"], 197, 768
        scores, keys = 2 * frames * tokens**2 * dim / 1e9, 2 * frames * tokens * dim**2 / 1e9
        theirs += 4 * scores - 4 * keys
    print(f"{phase}: {ours:.1f} GFLOP, PyTorch {theirs:.1f}")
    assert abs(ours / theirs - 1) <= 0.003
