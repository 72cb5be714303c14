"""A trained run as ONNX, for onnxruntime and whatever else reads it.  Needs the packages of `make onnx`."""

import json
import logging
from pathlib import Path

import jax
import numpy as np

from lift_flax.errors import UserError
from lift_flax.predict.inference import input_shapes, make_inference
from lift_flax.runs.trained import TrainedRun


def check_installed() -> None:
    """Raises UserError where the packages are missing."""
    try:
        import jax2onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed here: run `make onnx` once, then this command with .venv-onnx/bin/python"
        ) from error


def make(trained: TrainedRun, facts: dict) -> bytes:
    """The serialised model; any batch size.  Its metadata are `facts`, texts as they are and all else as JSON."""
    from jax2onnx import to_onnx
    from onnx import helper

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it tells of every shape that it leaves to be inferred
    (batch,) = jax.export.symbolic_shape("b")
    shapes = input_shapes(trained.config)
    inputs = [jax.ShapeDtypeStruct((batch, *shape), np.uint8) for shape in shapes.values()]
    infer = make_inference(trained, fft=False)
    names = sorted(jax.eval_shape(infer, *inputs))  # the order in which a dict is flattened
    model = to_onnx(infer, inputs, model_name="lift_net", input_names=[*shapes], output_names=names)
    helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()})
    return model.SerializeToString()


def run(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the file answers through onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
