"""The student's forward pass, loss and gradients against the direct PyTorch transcription."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make parity installs it")

from tests.golden.make_golden import lift_net_reference  # noqa: E402
from tests.support import lift_net_case  # noqa: E402
from tests.support.weights_tools import relative_error  # noqa: E402


@pytest.mark.parametrize(("levels", "trunk", "foe_norm"), [
    (2, "r2plus1d_34", "plane"), (8, "r2plus1d_18", "plane"),
    *((1, "r2plus1d_18", norm) for norm in ("branch", "after", "row")),
])  # fmt: skip
def test_forward_loss_and_gradients(levels, trunk, foe_norm):
    config = lift_net_case.make_config(levels, trunk, foe_norm)
    tensors, theirs, their_grads = lift_net_reference(config)
    network, shapes = lift_net_case.student(config)
    arrays = lift_net_case.our_arrays(tensors, shapes)
    assert arrays.keys() == shapes.keys()
    out, grads = lift_net_case.loss_and_gradients(config, network, arrays)
    for name, expected in theirs.items():
        error = relative_error(out[name], expected)
        print(f"N={levels} {trunk} {name}: {error:.2g}")
        assert error <= 1e-4, name
    assert grads.keys() == lift_net_case.trained(shapes)
    expected = lift_net_case.our_arrays(their_grads, shapes)
    worst = (0.0, "")
    for path, grad in grads.items():
        error = float(np.linalg.norm(np.asarray(grad) - expected[f"params/{path}"]))
        if path.endswith("key/bias"):  # softmax does not see it: zero in exact arithmetic
            assert error <= 1e-4, path
            continue
        relative = error / float(np.linalg.norm(expected[f"params/{path}"]))
        worst = max(worst, (relative, path))
    print(f"N={levels} {trunk}: {len(grads)} gradients, largest relative error {worst[0]:.2g} ({worst[1]})")
    assert worst[0] <= 1e-3
