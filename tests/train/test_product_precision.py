"""How exactly the programs of a training step multiply, as they are lowered for GPUs and TPUs."""

import collections
import re

import jax
import pytest
from jax.extend.mlir import ir

from lift_flax.plan import compile_step
from tests.support.small_config import small_config

OF_TRUNKS = {"float32": "HIGHEST", "tf32": "HIGH", "bfloat16": "DEFAULT"}
PLATFORMS = ("cuda", "tpu")


def _products(phase: str, platform: str, **fields) -> dict[tuple[str, str], int]:
    """{(part of the network, precision): products and convolutions, forward and backward} of a step."""
    step = compile_step.step_shapes(small_config(**fields), 3, phase)
    traced = jax.jit(step.function).trace(step.state, step.streams)
    module = traced.lower(lowering_platforms=(platform,)).compiler_ir("stablehlo")
    found: dict[tuple[str, str], int] = collections.Counter()

    def look(operation):
        if operation.name in ("stablehlo.dot_general", "stablehlo.convolution"):
            chosen = re.findall(r"precision (\w+)>", str(operation.attributes["precision_config"]))
            assert len(set(chosen)) == 1
            scopes = re.split(r"[/()\"]", str(operation.location))
            part = next((name for name in ("fc", "pvit", "trunk", "teacher") if name in scopes), "after")
            found[part, chosen[0]] += 1
        return ir.WalkResult.ADVANCE

    module.operation.walk(look)
    return dict(found)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("precision", [
    "tf32", pytest.param("float32", marks=pytest.mark.slow), pytest.param("bfloat16", marks=pytest.mark.slow),
])  # fmt: skip
def test_all_that_follows_the_trunks_is_exact(precision, platform):
    """Projection, levels, head and the R(2+1)D's classifier, in the student's step; gradients too."""
    fields = {"train.precision": precision, "model.pool": "attention", "model.fusion_residual": "gate"}
    found = _products("student", platform, **fields)
    parts = {part: {precision for other, precision in found if other == part} for part, _ in found}
    assert parts == {
        "fc": {"HIGHEST"},
        "after": {"HIGHEST"},
        **dict.fromkeys(("pvit", "trunk"), {OF_TRUNKS[precision]}),
    }
    assert found["pvit", OF_TRUNKS[precision]] > 20 and found["after", "HIGHEST"] > 40


@pytest.mark.parametrize("platform", [PLATFORMS[0], pytest.param(PLATFORMS[1], marks=pytest.mark.slow)])
def test_gradients_of_convolutions_are_as_exact_as_they(platform):
    found = _products("teacher", platform)
    assert {precision for part, precision in found if part != "fc"} == {"HIGH"}
    assert {precision for part, precision in found if part == "fc"} == {"HIGHEST"}
    assert sum(count for (part, _), count in found.items() if part != "fc") > 50
