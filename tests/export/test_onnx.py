"""`lift_flax.export` to ONNX: onnxruntime answers as the network does.  `make onnx` installs what it needs."""

import importlib.util
import json

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.export import comparing, program
from lift_flax.predict.inference import unfolded
from tests.export.test_program import KINDS
from tests.support.trained_tools import random_trained

_MISSING = [name for name in ("jax2onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"{' and '.join(_MISSING)} not installed: make onnx")


OWN_GAMMA = [kind for kind, (_, fields) in KINDS.items() if "model.luminous.gamma_target" in fields]


@pytest.mark.parametrize("kind", OWN_GAMMA)
def test_a_gamma_of_each_clip_is_refused(kind, tmp_path):
    with pytest.raises(UserError, match=r"which ONNX files do not hold: name a file that ends in \.stablehlo"):
        program.export_run(random_trained(KINDS[kind][0], **KINDS[kind][1]), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OWN_GAMMA])
def test_every_kind_of_network(kind, tmp_path):
    arg, fields = KINDS[kind]
    out = tmp_path / "net.onnx"
    facts = program.export_run(random_trained(arg, **fields), out)
    assert set(facts["largest_difference"]) == set(facts["outputs"])
    assert all(value <= 1e-4 for value in facts["largest_difference"].values())
    assert [path.name for path in tmp_path.iterdir() if path != out] == ["net.onnx.json"]


def test_any_batch_and_the_classes_within(tmp_path):
    import onnx

    trained, out = random_trained(), tmp_path / "net.onnx"
    program.export_run(trained, out)
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node}.isdisjoint({"DFT", "Loop", "Scan", "BatchNormalization"})
    assert [output.name for output in model.graph.output] == ["logits", "probabilities", "teacher_logits"]
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["classes"]) == list(trained.classes) and properties["frames"] == "4"
    rng = np.random.default_rng(1)
    for batch in (1, 3):
        clips = rng.integers(0, 60, (batch, 4, 32, 32, 3), np.uint8)
        found = comparing.differences(program.answer_onnx(out, {"clip": clips}), unfolded(trained)(clips))
        assert all(value <= 1e-4 for value in found.values())
