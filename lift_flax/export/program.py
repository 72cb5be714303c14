"""Writes a trained run as one file that answers without this project: StableHLO for jax, or ONNX for onnxruntime.

The file takes uint8 frames [B,T,H,W,3] and gives logits and probabilities.  Gamma correction, normalisation and
BatchNorm are part of it.  It gets its name only after its answers were compared with the network's.  Beside it,
FILE.stablehlo.json or FILE.onnx.json describes the classes and how to make a clip; docs/export.md says how to call it.
"""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.export.comparing import HostArrays, differences, on_cpu, random_inputs
from lift_flax.files import refuse_existing, replacing
from lift_flax.models.inputs import luminous_statistics
from lift_flax.predict.inference import input_shapes, make_inference, unfolded
from lift_flax.runs.trained import TrainedRun
from lift_flax.video.flow_codes import FLOW_RANGE, STEPS, ZERO

PLATFORMS = ("cpu", "cuda", "tpu")  # of a StableHLO file
BOUND = 1e-4  # largest difference from the network, relative to its largest answer


def facts_path(out: Path) -> Path:
    """FILE.json beside FILE."""
    return out.with_name(f"{out.name}.json")


def check_out(out: Path, *, overwrite: bool) -> None:
    """Checks that a run can be exported to `out`.

    Raises:
      UserError: its ending is unknown, its folder is missing, or it exists and may not be replaced.
    """
    if out.suffix not in FORMATS:
        raise UserError(
            f"{out}: choose a name that ends in {' or '.join(FORMATS)}, or in .zip for a package (--format=package "
            "writes a folder)"
        )
    check_parent(out)
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file")
    for path in (out, facts_path(out)):
        refuse_existing(path, overwrite=overwrite)


def check_parent(out: Path) -> None:
    """Raises UserError where the folder that `out` is to lie in is missing."""
    if not out.parent.is_dir():
        raise UserError(f"{out}: the folder {out.parent} does not exist: make it, or choose another one")


def export_run(trained: TrainedRun, out: Path) -> dict:
    """Writes `out` and its facts beside it, once the file answers as the network does on random clips.

    Returns:
      What the JSON file holds.
    Raises:
      UserError: the run takes what cannot be written so, or a package is missing.
      RuntimeError: the file answers differently; nothing is left behind.
    """
    facts, form = describe(trained), FORMATS[out.suffix]
    inputs = random_inputs(trained.config)
    # The file gets its name last: where it is, its facts are.
    with on_cpu(), replacing(out) as part, replacing(facts_path(out)) as facts_part:
        part.write_bytes(form.serialise(trained, facts))
        difference = differences(form.answer(part, inputs), unfolded(trained)(*inputs.values()))
        if not all(value <= BOUND for value in difference.values()):
            raise RuntimeError(f"the exported file differs from the network by {difference}, more than {BOUND}")
        facts["largest_difference"] = difference
        facts_part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def describe(trained: TrainedRun) -> dict:
    """What a caller who has only the file must know."""
    config = trained.config
    t, size = config.data.num_frames, config.data.size
    inputs = {
        "clip": f"uint8 [B,{t},{size},{size},3]: RGB frames of a video, not normalised. {_frames_taken(config)}, "
        f"scaled by area to a shorter side of {size} px; of that the central square.",
        "flow": f"uint8 [B,{t},{size},{size},2]: horizontal and vertical motion to the next frame of the video, of the "
        f"same frames and squares. In pixels of the stored clip, {ZERO} + round({STEPS} * motion / {FLOW_RANGE:g}).",
    }
    logits = f"float32 [B,{len(trained.classes)}], in the order of classes"
    outputs = {"logits": logits, "probabilities": f"{logits}: softmax of logits"}
    distilled = {"teacher_logits": f"{logits}: the teacher's answer"} if config.train.distill else {}
    mean, std = luminous_statistics(config)
    luminous = config.model.luminous
    return {
        "dataset": config.dataset,
        "step": trained.step,
        "classes": list(trained.classes),
        "frames": t,
        "size": size,
        "inputs": {name: inputs[name] for name in input_shapes(config)},
        "outputs": outputs | distilled,
        "within": {
            "luminous": luminous.input,
            "gamma": None if luminous.input == "flow" or luminous.gamma_target else luminous.gamma,
            "gamma_target": luminous.gamma_target or None,
            "luminous_size": luminous.size,
            "luminous_mean": None if luminous.input == "motion" else list(mean),
            "luminous_std": None if luminous.input == "motion" else list(std),
            "main": config.model.main_input,
            "dark_mean": list(config.model.pvit.mean) if config.model.main_input != "motion" else None,
            "dark_std": list(config.model.pvit.std) if config.model.main_input != "motion" else None,
        },
    }


def _frames_taken(config: Config) -> str:
    data = config.data
    if data.sampling == "window" and data.test_windows > 1:
        one = _frames_taken(dataclasses.replace(config, data=dataclasses.replace(data, test_windows=1)))
        return f"{one}; tests and predict average the probabilities of {data.test_windows} such clips, spread over it"
    if data.sampling == "segments":
        return f"Each is the middle one of {data.num_frames} equal parts of it"
    if data.window_seconds:
        return f"They are spread over {data.window_seconds:g} s in the middle of it"
    apart = "next to each other" if data.stride == 1 else f"{data.stride} frames apart"
    return f"They stand {apart}, in the middle of it"


def to_stablehlo(trained: TrainedRun, facts: dict) -> bytes:
    """The serialised program for all `PLATFORMS` and any batch size."""
    del facts  # the format has no place for them
    program = jax.jit(make_inference(trained))
    return bytes(jax.export.export(program, platforms=PLATFORMS)(*_input_structs(trained.config)).serialize())


def answer_stablehlo(path: Path, inputs: HostArrays) -> HostArrays:
    """What a StableHLO file answers on the current device."""
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    return jax.tree.map(np.asarray, exported.call(*inputs.values()))


def to_onnx(trained: TrainedRun, facts: dict) -> bytes:
    """The serialised model for any batch size; its metadata are `facts`, texts as they are and all else as JSON.

    Raises:
      UserError: the run takes what cannot be written as ONNX, or a package is missing.
    """
    if trained.config.model.luminous.gamma_target:
        raise UserError(
            f"{trained.workdir} gives each clip a gamma of its own, which ONNX files do not hold: name a file that "
            "ends in .stablehlo"
        )
    _check_onnx_installed()
    from jax2onnx import to_onnx  # pyright: ignore[reportMissingImports]  # of an extra
    from onnx import helper  # pyright: ignore[reportMissingImports]  # of an extra

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it reports every shape that it leaves to be inferred
    infer, inputs = make_inference(trained, fft=False), _input_structs(trained.config)
    names = sorted(jax.eval_shape(infer, *inputs))  # the order in which a dict is flattened
    input_names = [*input_shapes(trained.config)]
    model = to_onnx(infer, inputs, model_name="lift_net", input_names=input_names, output_names=names)
    helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()})
    return model.SerializeToString()


def answer_onnx(path: Path, inputs: HostArrays) -> HostArrays:
    """What an ONNX file answers through onnxruntime on the CPU."""
    import onnxruntime  # pyright: ignore[reportMissingImports]  # of an extra

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _check_onnx_installed() -> None:
    try:
        import jax2onnx  # noqa: F401  # pyright: ignore[reportMissingImports]  # of an extra
        import onnxruntime  # noqa: F401  # pyright: ignore[reportMissingImports]  # of an extra
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed here: run `make onnx` once, then this command with .venv-onnx/bin/python"
        ) from error


def _input_structs(config: Config) -> list[jax.ShapeDtypeStruct]:
    """The inputs in order, with a batch size that is left open."""
    (batch,) = jax.export.symbolic_shape("b")
    return [jax.ShapeDtypeStruct((batch, *shape), np.uint8) for shape in input_shapes(config).values()]


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format: (run, facts) -> bytes of the file, and (file, inputs) -> its answers."""

    serialise: Callable[[TrainedRun, dict], bytes]
    answer: Callable[[Path, HostArrays], HostArrays]


FORMATS = {".stablehlo": Format(to_stablehlo, answer_stablehlo), ".onnx": Format(to_onnx, answer_onnx)}
