"""Exports a trained R(2+1)D to PyTorch, under its PyTorch names.

    lift-flax weights to-torch DIR [--out=FILE.safetensors]

DIR is a run's workdir (then the best teacher, or the trained R(2+1)D of a run without distillation) or a folder of
`lift-flax weights convert`.  In PyTorch: `model.load_state_dict(safetensors.torch.load_file(FILE))`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from lift_flax import command_line, errors
from lift_flax.errors import UserError
from lift_flax.files import only_writer, refuse_existing, replacing
from lift_flax.models.video_resnet import TRUNKS
from lift_flax.weights import converted, torch_video


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "lift-flax weights to-torch")
    parser.add_argument("dir", type=Path, metavar="DIR")
    parser.add_argument("--to", choices=("safetensors",), help="format of the file; there is one")
    parser.add_argument("--out", type=Path, help="file to write (default DIR/NAME.safetensors)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file where it exists")
    args = parser.parse_args(argv)
    facts, arrays = read_workdir(args.dir) if (args.dir / "config.json").is_file() else _read_converted(args.dir)
    out = args.out or args.dir / f"{facts['name']}.safetensors"
    refuse_existing(out, overwrite=args.overwrite)
    write_safetensors(facts, arrays, out)
    print(f"{facts['name']}, {len(arrays)} tensors, BatchNorm eps {facts['bn_eps']}: {out}")
    if "params/fc/bias" not in arrays:
        print("without a classifier, which was not trained: load_state_dict(..., strict=False)")


def write_safetensors(facts: dict[str, Any], arrays: dict[str, np.ndarray], out: Path) -> None:
    """Writes `arrays` of the trunk `facts["name"]` as tensors of PyTorch; the facts become the file's metadata."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    table = torch_video.tensors_of(TRUNKS[facts["name"]])
    tensors = {table[ours].name: torch_video.to_torch(ours, a, table[ours].frames) for ours, a in arrays.items()}
    try:
        with replacing(out) as part:
            save_file(tensors, part, metadata={key: str(value) for key, value in facts.items()})
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {out}: {error}; choose another --out") from error


def _read_converted(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not (folder / converted.FACTS).is_file():
        raise UserError(f"{folder} is neither a run's workdir nor a folder of converted weights")
    facts = converted.load_facts(folder)
    if facts["kind"] != "r2plus1d":
        raise UserError(f"{folder} holds a ViT: only video ResNets are exported to PyTorch")
    return facts, converted.load_arrays(folder)


def read_workdir(workdir: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(facts, arrays) of the trained R(2+1)D of a run.  Raises UserError where there is none."""
    from lift_flax.models.build import with_bn_eps
    from lift_flax.models.functional import flatten
    from lift_flax.models.inputs import luminous_statistics
    from lift_flax.runs import config_file
    from lift_flax.runs.checkpoints import read_best
    from lift_flax.runs.workdir import facts as facts_of
    from lift_flax.runs.workdir import phase_folder

    config = config_file.load(workdir / "config.json")
    phase = "teacher" if config.train.distill else "student"
    folder = phase_folder(workdir, phase)
    with only_writer(workdir, "workdir"):  # a run in progress would remove checkpoints while they are read
        params, stats, step = read_best(folder)
    if phase == "student":
        if "trunk" not in params:
            raise UserError(f"{workdir} has no R(2+1)D: it was trained with config.model.streams=main")
        params, stats = {**params["trunk"]}, stats["trunk"]
        del params["fc"]  # it was not trained
    arrays = {f"params/{k}": np.asarray(v) for k, v in flatten(params).items()}
    arrays |= {f"batch_stats/{k}": np.asarray(v) for k, v in flatten(stats).items()}
    teacher = with_bn_eps(config).model.teacher
    classes = facts_of(workdir)["classes"]
    mean, std = luminous_statistics(config)
    facts = {"name": teacher.name, "bn_eps": teacher.bn_eps, "mean": mean, "std": std, "step": step}
    return {**facts, "classes": ", ".join(classes)}, arrays


if __name__ == "__main__":
    errors.run_cli(main)
