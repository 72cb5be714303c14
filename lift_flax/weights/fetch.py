"""Fetches a pretrained ViT from huggingface.co, with what its conversion needs beside it.

    lift-flax weights fetch                               # the names that are known
    lift-flax weights fetch dinov2_s14 --out=downloads    # needs `pip install -e '.[hub]'`
    lift-flax weights convert vit downloads/dinov2_s14/model.safetensors --blocks=12 --out=weights/dinov2_s14

A file that is there is not fetched again.  fetched.json in the folder keeps the commit and the SHA-256 of each file.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from lift_flax import command_line, errors
from lift_flax.errors import UserError
from lift_flax.files import write_text

FETCHED = "fetched.json"


class HubFile(NamedTuple):
    """A file of a repository on huggingface.co.

    Attributes:
      repository: "owner/name".
      about: what it is.
      weights: the file with the tensors.
      beside: files that say what the tensors do not show.
    """

    repository: str
    about: str
    weights: str = "model.safetensors"
    beside: tuple[str, ...] = ("config.json",)


_TRANSFORMERS = ("config.json", "preprocessor_config.json")
SOURCES = {
    "dinov2_s14": HubFile("facebook/dinov2-small", "DINOv2 ViT-S/14", beside=_TRANSFORMERS),
    "dinov2_b14": HubFile("facebook/dinov2-base", "DINOv2 ViT-B/14", beside=_TRANSFORMERS),
    "dinov2_l14": HubFile("facebook/dinov2-large", "DINOv2 ViT-L/14", beside=_TRANSFORMERS),
    "vit_b16_in21k": HubFile("timm/vit_base_patch16_224.augreg_in21k", "ViT-B/16, ImageNet-21k, as the paper's"),
    "vit_s16_in21k": HubFile("timm/vit_small_patch16_224.augreg_in21k", "ViT-S/16, ImageNet-21k"),
    "deit_s16": HubFile("timm/deit_small_patch16_224.fb_in1k", "DeiT-S/16, ImageNet-1k"),
    "deit_b16": HubFile("timm/deit_base_patch16_224.fb_in1k", "DeiT-B/16, ImageNet-1k"),
}


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "lift-flax weights fetch")
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of those that the command lists without it")
    parser.add_argument("--out", type=Path, default=Path("downloads"), help="folder; the files go to OUT/NAME")
    parser.add_argument("--revision", default="main", help="branch, tag or commit of the repository")
    args = parser.parse_args(argv)
    if args.name is None:
        for name, source in SOURCES.items():
            print(f"{name:14} {source.about}; {source.repository}")
        return
    if args.name not in SOURCES:
        raise UserError(f"unknown name {args.name}: choose one of {', '.join(SOURCES)}")
    folder = args.out / args.name
    weights = fetch(SOURCES[args.name], folder, args.revision)
    print(f"fetched: {weights}   checksums: {folder / FETCHED}")
    print(f"convert it: lift-flax weights convert vit {weights} --blocks=12 --out=weights/{args.name}")


def fetch(source: HubFile, folder: Path, revision: str = "main") -> Path:
    """Fetches the files of a source into a folder; returns the path of its tensors.

    Raises:
      UserError: huggingface_hub is not installed; a file cannot be had, or is not the one that was promised.
    """
    names = (*source.beside, source.weights)
    if _is_there(source, folder, revision, names):
        return folder / source.weights
    try:
        from huggingface_hub import (  # pyright: ignore[reportMissingImports]  # of an extra
            get_hf_file_metadata,
            hf_hub_download,
            hf_hub_url,
        )
    except ImportError as error:
        raise UserError("fetching needs huggingface_hub: pip install -e '.[hub]' in the project's folder") from error
    commit, digests = revision, {}
    for name in names:
        print(f"{source.repository}: {name} ...", flush=True)
        try:
            promised = get_hf_file_metadata(hf_hub_url(source.repository, name, revision=revision))
            commit = promised.commit_hash or commit
            path = Path(hf_hub_download(source.repository, name, revision=commit, local_dir=folder))
        except Exception as error:  # whatever the library and its HTTP client raise
            raise UserError(
                f"cannot fetch {name} of huggingface.co/{source.repository} ({type(error).__name__}): bring "
                f"{', '.join(names)} of it to {folder} by other means, and convert {folder / source.weights}"
            ) from error
        digests[name] = _sha256(path)
        if len(promised.etag or "") == 64 and promised.etag != digests[name]:
            raise UserError(f"{path} is not the file that {source.repository} holds: remove it and fetch again")
    kept = {"repository": source.repository, "revision": revision, "commit": commit, "sha256": digests}
    write_text(folder / FETCHED, json.dumps(kept, indent=2) + "\n")
    return folder / source.weights


def _is_there(source: HubFile, folder: Path, revision: str, names: tuple[str, ...]) -> bool:
    """Whether an earlier call fetched these files, and they are as it left them."""
    try:
        kept = dict(json.loads((folder / FETCHED).read_text()))
        same = (kept["repository"], kept["revision"]) == (source.repository, revision)
        return same and all(kept["sha256"][name] == _sha256(folder / name) for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    errors.run_cli(main)
