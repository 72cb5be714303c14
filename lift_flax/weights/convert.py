"""Converts pretrained weights from PyTorch and from Google, with an account of every tensor.

    lift-flax weights convert r2plus1d FILE --out=DIR     # .pth or .safetensors: R(2+1)D, R3D, MC3, Hara's
    lift-flax weights convert vit FILE --out=DIR          # ViT, DeiT, DINOv2, CLIP: of Google, timm or Hugging Face
    lift-flax weights convert vit WORKDIR --out=DIR       # the main stream of your own run

DIR is then what `--config.model.teacher.init_from` or `--config.model.pvit.init_from` takes.  docs/weights.md names the
files of the paper.  --check=FILE.npz compares with outputs that the source framework computed: arrays `clip`
(normalised, [B,T,H,W,3], or [B,H,W,3] for vit) and `logits` or `features` (for vit the class token).
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

from lift_flax import command_line, errors
from lift_flax.errors import UserError
from lift_flax.weights import converted, from_run, read_tensors, tables, torch_video
from lift_flax.weights.copies import Copy, find_copy
from lift_flax.weights.vits import vit
from lift_flax.weights.vits.sizes import described

BLOCKS = 5  # of a ViT, by default: as the paper takes
_KERNELS = ("patch_embed.proj.weight", "patch_embeddings.projection.weight", "patch_embedding.weight")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "lift-flax weights convert")
    parser.add_argument("kind", choices=("r2plus1d", "vit"))
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--blocks", type=int, help="ViT blocks to keep, from the first (default 5)")
    parser.add_argument(
        "--num_heads", type=int, help="heads of a ViT's attention, where neither file nor name shows it"
    )
    parser.add_argument("--copy", metavar="NAME", help="of several copies of the network, that whose names begin so")
    parser.add_argument(
        "--gelu", choices=("exact", "tanh", "quick"), help="of a ViT, if not the usual one of the file's layout"
    )
    parser.add_argument(
        "--mean", type=float, nargs=3, metavar=("R", "G", "B"), help="of the input in [0, 1], if not the usual one"
    )
    parser.add_argument(
        "--std", type=float, nargs=3, metavar=("R", "G", "B"), help="of the input in [0, 1], if not the usual one"
    )
    parser.add_argument("--check", type=Path, metavar="FILE.npz", help="compare with outputs of the source framework")
    parser.add_argument("--overwrite", action="store_true", help="replace weights that are in --out")
    args = parser.parse_args(argv)
    _check_flags(args)
    converted.check_folder(args.out, args.overwrite)
    weights = _converted(args)
    _check_finite(weights)
    chosen = {name: getattr(args, name) for name in ("gelu", "mean", "std") if getattr(args, name)}
    weights.facts.update(chosen)
    summary = tables.summary(
        weights, len({entry.theirs.split("[")[0] for entry in weights.entries} | set(weights.ignored))
    )
    print(f"{summary}{name_of(weights)}")
    if args.check:
        from lift_flax.weights.check import check

        weights.facts["checked"] = {"file": args.check.name, "relative_error": check(weights, args.check)}
    converted.save(weights, summary + tables.details(weights), args.out)
    print(f"weights: {args.out / converted.ARRAYS}   every tensor: {args.out / converted.TABLE}")


def _converted(args: argparse.Namespace) -> converted.ConvertedWeights:
    if (args.file / "run.json").is_file() and (args.file / "config.json").is_file():
        if args.kind != "vit" or args.blocks or args.num_heads or args.copy:
            raise UserError(
                f"{args.file} is a workdir: only its ViT is converted, whole (`vit`, and no flags of files)"
            )
        return from_run.convert(args.file)
    found = find_copy(read_tensors.read_tensors(args.file), args.kind, args.copy)
    if found.where:
        print(found.where)
    if args.kind == "r2plus1d":
        weights = torch_video.convert(found.tensors)
    else:
        weights = _vit(args, found)
    weights.ignored.update(found.beside)
    weights.facts["source"] = {"file": args.file.name, "sha256": _sha256(args.file)}
    if found.others:
        weights.facts["source"]["copy"] = found.before
    return weights


def _vit(args: argparse.Namespace, found: Copy) -> converted.ConvertedWeights:
    """The ViT, with what its name and the files beside it say of PyTorch's.  Raises UserError where they disagree."""
    kernel = next((a for n, a in found.tensors.items() if n.endswith(_KERNELS)), None)
    blocks = args.blocks or BLOCKS
    if kernel is None:
        return vit.convert(found.tensors, blocks, args.num_heads, args.gelu)
    beside = described(args.file)
    if beside.dim not in (None, len(kernel)) and not args.num_heads:
        raise UserError(
            f"{args.file.name} is named as {beside.name}, whose width is {beside.dim}, and its tensors are "
            f"{len(kernel)} wide: say how many heads its attention has with --num-heads"
        )
    if beside.num_heads and not args.num_heads:
        print(f"{beside.num_heads} heads, as {beside.name or 'config.json beside the file'} has")
    heads, gelu = args.num_heads or beside.num_heads, args.gelu or beside.settings.get("gelu")
    weights = vit.convert(found.tensors, blocks, heads, gelu)
    weights.facts.update(beside.settings)
    return weights


def _check_flags(args: argparse.Namespace) -> None:
    if args.blocks is not None and args.blocks < 1:
        raise UserError(f"--blocks={args.blocks}: a ViT has at least one")
    for flag in ("blocks", "gelu", "num_heads"):
        if args.kind == "r2plus1d" and getattr(args, flag) is not None:
            raise UserError(f"--{flag.replace('_', '-')} is for vit: a video ResNet has none")
    if args.check and not args.check.is_file():
        raise UserError(f"--check={args.check}: no such file")


def _check_finite(weights: converted.ConvertedWeights) -> None:
    for entry in weights.entries:
        if not np.isfinite(weights.arrays[entry.ours]).all():
            raise UserError(f"{entry.theirs} holds NaN or infinite values: the file is damaged or its training failed")


def name_of(weights: converted.ConvertedWeights) -> str:
    """A phrase that names the recognised network, its settings and its input statistics."""
    facts = weights.facts
    mean, std = ([round(v, 4) for v in facts[name]] for name in ("mean", "std"))
    if weights.kind == "vit":
        attention = "with" if facts["qkv_bias"] else "without"
        heads = f"{facts['num_heads']} heads, GELU {facts['gelu']}, {attention} qkv biases"
        name = f"{vit.ours_of(facts)}, first {facts['blocks']} blocks, {heads}"
    else:
        name = f"{facts['name']}, {facts['classes'] or 'no'} classes, BatchNorm eps {facts['bn_eps']}"
    return f"{name}, input mean {mean} and std {std}"


def _sha256(path: Path) -> str:
    """Of a file, or of the parts that an index names together."""
    digest = hashlib.sha256()
    for part in read_tensors.files_of(path):
        with part.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


if __name__ == "__main__":
    errors.run_cli(main)
