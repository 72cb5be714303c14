"""How much the levels enlarge a small change, rounding included, at the size of the paper and at the start."""

import pytest

from benchmarks.levels import conditioning, influence

QUICK = (2, "plane")  # N, the norm of the spectrum
OTHERS = [(8, "plane"), (8, "branch"), (8, "after"), (2, "row"), (8, "row")]


@pytest.mark.parametrize(("levels", "norm"), [QUICK, *(pytest.param(*o, marks=pytest.mark.slow) for o in OTHERS)])
def test_small_changes_stay_small(levels, norm):
    """With all norms but that of rows, which enlarges them a thousand to a million times at N = 8."""
    facts = conditioning(levels, norm)
    print(f"N={levels} {norm}:", ", ".join(f"{name} {value:.1e}" for name, value in facts.items()))
    if norm == "row":
        assert facts["luminous"] > 10 ** (levels / 2)
        return
    assert facts["main"] < 1 and facts["luminous"] < 1
    assert facts["float32 fused"] < 1e-5 and facts["float32 logits"] < 1e-5
    assert facts["tf32 fused"] < 1e-2 and facts["bfloat16 fused"] < 0.1
    assert facts["tf32 fused"] > 10 * facts["float32 fused"]  # what is emulated is seen


@pytest.mark.slow
def test_how_far_each_stream_reaches():
    """With Eq. 2's residual the main stream is all but lost after eight levels; the others keep more of it."""
    reached = {residual: influence(8, residual) for residual in ("luminous", "main", "both", "gate")}
    print(reached)
    of_main = {residual: reached[residual]["main"] for residual in reached}
    assert of_main["luminous"] < 5e-4 < 1e-3 < of_main["both"] < 1e-2 < of_main["gate"] < 0.5 < of_main["main"]
    assert reached["luminous"]["luminous"] > 0.5 and reached["main"]["luminous"] > 0.03
