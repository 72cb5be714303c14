"""Writes a trained run for others: as one file that answers without this project, or as a package for this one.

    lift-flax export --workdir=RUN --out=FILE.stablehlo
    .venv-onnx/bin/lift-flax export --workdir=RUN --out=FILE.onnx      # `make onnx` sets that place up
    lift-flax export --workdir=RUN --out=FILE.zip                      # a package: weights, config, classes, model card
    lift-flax export --workdir=RUN --format=package --out=FOLDER       # the same as a folder, as model hubs take it

The ending of --out decides; a folder has none, so it takes --format=package.  Whatever is written gets its name only
after its answers were compared with the network's.  docs/export.md says how to use each.
"""

from pathlib import Path

from lift_flax import command_line, errors
from lift_flax.export.request import FORMATS, export_request
from lift_flax.runs.package.reading import DTYPES
from lift_flax.runs.places import WORKDIR
from lift_flax.runs.trained import open_trained


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "lift-flax export")
    parser.add_argument("--workdir", type=Path, required=True, help=WORKDIR)
    out = "what to write: FILE.stablehlo, FILE.onnx, FILE.zip, or a folder with --format=package"
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--format", choices=FORMATS, help="needed for a folder alone; else the ending of --out says it")
    parser.add_argument("--card", type=Path, metavar="FILE.md", help="text to add to the model card of a package")
    parser.add_argument("--license", metavar="ID", help="of a package, as hubs name it: cc-by-4.0, apache-2.0, ...")
    half = "that a package keeps its arrays in: float16 halves it, and changes its answers a little (default float32)"
    parser.add_argument("--dtype", choices=DTYPES, help=half)
    parser.add_argument("--overwrite", action="store_true", help="replace what is there already")
    args = parser.parse_args(argv)
    options = {"form": args.format, "card": args.card, "license_id": args.license, "dtype": args.dtype}
    request = export_request(args.out, **options, overwrite=args.overwrite)  # mistakes show before the run is opened
    for line in request.write(open_trained(args.workdir)):
        print(line)


if __name__ == "__main__":
    errors.run_cli(main)
