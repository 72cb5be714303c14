"""The whole student against golden outputs, loss and gradients of the PyTorch transcription."""

import numpy as np
import pytest

from tests.golden import FOLDER
from tests.support import lift_net_case
from tests.support.weights_tools import relative_error, sample


@pytest.mark.slow
def test_student_is_the_transcription():
    config = lift_net_case.make_config(2, "r2plus1d_18")
    network, shapes = lift_net_case.student(config)
    tensors = lift_net_case.torch_tensors(config, shapes)
    arrays = lift_net_case.our_arrays(tensors, shapes)
    assert arrays.keys() == shapes.keys()
    out, grads = lift_net_case.loss_and_gradients(config, network, arrays)
    assert grads.keys() == lift_net_case.trained(shapes)
    with np.load(FOLDER / "lift_net.npz") as golden:
        for name in ("teacher_logits", "main_tokens", "luminous_tokens", "fused", "logits", "loss"):
            assert relative_error(sample(np.asarray(out[name])), golden[name]) <= 1e-4, name
        for path, grad in grads.items():
            values, norm = golden[f"grad/params/{path}"], float(golden[f"norm/params/{path}"])
            if path.endswith("key/bias"):  # softmax does not see it: zero in exact arithmetic
                assert np.linalg.norm(grad) <= 1e-4, path
                continue
            assert abs(np.linalg.norm(grad) - norm) <= 1e-3 * norm, path
            spread = norm / np.sqrt(np.asarray(grad).size)
            assert np.abs(sample(np.asarray(grad), 16) - values).max() <= 2e-2 * max(spread, np.abs(values).max()), path
