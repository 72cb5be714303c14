"""Writes a trained run as one file that answers without this project: StableHLO for jax, or ONNX for onnxruntime.

    python -m lift_flax.export --workdir=RUN --out=FILE.stablehlo
    .venv-onnx/bin/python -m lift_flax.export --workdir=RUN --out=FILE.onnx      # `make onnx` sets that place up

The file takes uint8 frames [B,T,H,W,3] and gives logits and probabilities; gamma correction, normalisation and
BatchNorm are within it.  It is compared with the network before it gets its name.  Beside it FILE.stablehlo.json
or FILE.onnx.json tells the classes and how to make a clip; docs/export.md how to call the file.
"""

import json
from pathlib import Path

import jax
import numpy as np

from lift_flax import command_line, errors, export_onnx, export_stablehlo
from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.models.inputs import luminous_statistics
from lift_flax.predict.inference import input_shapes, unfolded
from lift_flax.runs.trained import TrainedRun, open_trained
from lift_flax.video.flow_codes import FLOW_RANGE, STEPS, ZERO

FORMATS = {".stablehlo": export_stablehlo, ".onnx": export_onnx}
BOUND = 1e-4  # of the difference to the network, in units of its largest answer
CLIPS = 2  # to compare on


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "lift-flax export")
    parser.add_argument("--workdir", type=Path, required=True, help="of a run")
    parser.add_argument("--out", type=Path, required=True, help="file to write: FILE.stablehlo or FILE.onnx")
    parser.add_argument("--overwrite", action="store_true", help="replace the file where it exists")
    args = parser.parse_args(argv)
    check_out(args.out, overwrite=args.overwrite)
    facts = export(open_trained(args.workdir), args.out)
    print(
        f"{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB, {facts['frames']} frames of {facts['size']} px, "
        f"{len(facts['classes'])} classes, step {facts['step']}; {facts_path(args.out)} tells how to use it"
    )
    told = ", ".join(f"{name} {value:.1e}" for name, value in facts["largest_difference"].items())
    print(f"largest difference to the network on {CLIPS} random clips, of its largest answer: {told}")


def facts_path(out: Path) -> Path:
    """FILE.json beside FILE."""
    return out.with_name(f"{out.name}.json")


def check_out(out: Path, *, overwrite: bool) -> None:
    """Raises UserError where `out` has no known ending, cannot be made here, or exists and may not be replaced."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out={out}: choose a name that ends in {' or '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise UserError(f"--out={out}: the folder {out.parent} does not exist: make it, or choose another --out")
    if out.is_dir():
        raise UserError(f"--out={out} is a folder: name a file")
    for path in (out, facts_path(out)):
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists: choose another --out, or give --overwrite to replace it")
    if out.suffix == ".onnx":
        export_onnx.check_installed()


def export(trained: TrainedRun, out: Path) -> dict:
    """Writes `out`, and its facts beside it, once it answers as the network does on random clips.

    Returns:
      What is in the JSON file.
    Raises:
      RuntimeError: it answers otherwise; nothing is left behind.
    """
    facts, form, part = describe(trained), FORMATS[out.suffix], out.with_name(f".{out.name}.part")
    inputs = random_inputs(trained.config)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # others round products by default
        try:
            part.write_bytes(form.make(trained, facts))
            found = differences(form.run(part, inputs), unfolded(trained)(*inputs.values()))
            if not all(value <= BOUND for value in found.values()):
                raise RuntimeError(f"the exported file differs from the network by {found}, more than {BOUND}")
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    facts["largest_difference"] = found
    write_text(facts_path(out), json.dumps(facts, indent=2) + "\n")
    return facts


def differences(found: dict[str, np.ndarray], expected: dict[str, jax.Array]) -> dict[str, float]:
    """The largest difference of each answer, in units of the largest number expected in it."""
    if found.keys() != expected.keys():
        raise RuntimeError(f"the exported file answers {sorted(found)}, the network {sorted(expected)}")
    return {
        name: float(np.abs(found[name] - np.asarray(value)).max() / np.abs(value).max())
        for name, value in expected.items()
    }


def random_inputs(config: Config) -> dict[str, np.ndarray]:
    """Coarse patterns whose brightness changes with clip and frame: of plain noise all frames would look alike."""
    rng = np.random.default_rng(0)
    inputs = {}
    for name, (t, h, w, c) in input_shapes(config).items():
        level = rng.uniform(0, 1, (CLIPS, t, 1, 1, 1))
        cells = level * rng.integers(0, 256, (CLIPS, t, 8, 8, c))  # [B, T, 8, 8, C]
        rows, columns = np.arange(h) * 8 // h, np.arange(w) * 8 // w
        inputs[name] = cells[:, :, rows][:, :, :, columns].astype(np.uint8)  # [B, T, H, W, C]
    return inputs


def describe(trained: TrainedRun) -> dict:
    """What a caller must know who has nothing but the file."""
    config = trained.config
    t, size = config.data.num_frames, config.data.size
    inputs = {
        "clip": f"uint8 [B,{t},{size},{size},3]: RGB frames of a video, not normalised. Each is the middle one of {t} "
        f"equal parts of it, scaled by area to a shorter side of {size} px; of that the central square.",
        "flow": f"uint8 [B,{t},{size},{size},2]: horizontal and vertical motion to the next frame of the video, of the "
        f"same frames and squares. In pixels of the stored clip, {ZERO} + round({STEPS} * motion / {FLOW_RANGE:g}).",
    }
    logits = f"float32 [B,{len(trained.classes)}], in the order of classes"
    outputs = {"logits": logits, "probabilities": f"{logits}: softmax of logits"}
    distilled = {"teacher_logits": f"{logits}: what the teacher would say"} if config.train.distill else {}
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
            "gamma": luminous.gamma if luminous.input == "gamma" else None,
            "luminous_size": luminous.size,
            "luminous_mean": list(mean),
            "luminous_std": list(std),
            "dark_mean": list(config.model.pvit.mean),
            "dark_std": list(config.model.pvit.std),
        },
    }


if __name__ == "__main__":
    errors.run_cli(main)
