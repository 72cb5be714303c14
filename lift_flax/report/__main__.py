"""A finished run as one web page: what was measured, how training went, and clips to look at.

    lift-flax report --workdir=RUN        # writes RUN/report.html again, as training wrote it at its end

The page needs no network and no other file, so it can be mailed, archived or opened on a phone.  Everything in it comes
from the workdir, except the clips, which are decoded from the records.
"""

from pathlib import Path

from lift_flax import command_line, compiling, errors
from lift_flax.report.page import write_page


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "lift-flax report")
    parser.add_argument("--workdir", type=Path, required=True, help="of a finished run")
    args = parser.parse_args(argv)
    compiling.keep_compiled_programs()
    print(write_page(args.workdir))


if __name__ == "__main__":
    errors.run_cli(main)
