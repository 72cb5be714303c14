"""What an export is to write, checked before the run is opened."""

import dataclasses
from pathlib import Path

from lift_flax.errors import UserError, shown
from lift_flax.export import package, program, rounding
from lift_flax.export.comparing import CLIPS
from lift_flax.runs.package.reading import DTYPES
from lift_flax.runs.trained import TrainedRun

PACKAGE = "package"
FORMATS = ("stablehlo", "onnx", PACKAGE)
_OF_ENDING = {".stablehlo": "stablehlo", ".onnx": "onnx", ".zip": PACKAGE}


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """What is to be written; `export_request` makes it.

    Attributes:
      form: one of `FORMATS`.
      card: text that a package's model card ends with.
      license_id: of a package.
      dtype: that a package keeps arrays in.
    """

    out: Path
    form: str
    card: str = ""
    license_id: str = ""
    dtype: str = rounding.FLOAT32

    def write(self, trained: TrainedRun) -> list[str]:
        """Writes it, once it answers as the run; returns what there is to say about it, in lines.

        Raises:
          UserError: the run takes what cannot be written so, or a package of the environment is missing.
          RuntimeError: it answers differently; nothing is left behind.
        """
        t, size, classes = trained.config.data.num_frames, trained.config.data.size, len(trained.classes)
        about = f"{t} frames of {size} px, {classes} classes, step {trained.step}"
        if self.form == PACKAGE:
            options = {"card": self.card, "license_id": self.license_id, "dtype": self.dtype}
            changed = package.write_package(trained, self.out, **options)
            parts = [*self.out.iterdir()] if self.out.is_dir() else [self.out]
            compared = f"opened again it answers {CLIPS} random clips as the run does, bit for bit"
            if self.dtype != rounding.FLOAT32:
                compared = f"in {self.dtype} {rounding.told(changed)} from the run's, on random clips"
            return [f"{self.out}: {_mebibytes(*parts)}, {about}; README.md in it is its model card", compared]
        facts = program.export_run(trained, self.out)
        found = ", ".join(f"{name} {value:.1e}" for name, value in facts["largest_difference"].items())
        return [
            f"{self.out}: {_mebibytes(self.out)}, {about}; {program.facts_path(self.out)} describes how to use it",
            f"largest difference from the network on {CLIPS} random clips, relative to its largest answer: {found}",
        ]


def export_request(
    out: Path,
    *,
    form: str | None = None,
    card: str | Path | None = None,
    license_id: str | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> ExportRequest:
    """Checks what is asked for; the arguments are those of `LoadedRun.export`.

    Raises:
      UserError: `out` cannot be written, or does not fit the other arguments.
    """
    ending = _OF_ENDING.get(out.suffix)
    if form is not None and form not in FORMATS:
        raise UserError(f"format={form!r} is unknown: choose one of {', '.join(FORMATS)}")
    if form and ending and form != ending:
        raise UserError(f"{out} ends as {ending} does, and format={form} is asked for: leave one of them out")
    if form and form != PACKAGE and not ending:
        raise UserError(f"{out}: a file of format={form} ends in .{form}")
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"dtype={dtype!r} is unknown: choose one of {', '.join(DTYPES)}")
    if (form or ending) == PACKAGE:
        package.check_out(out, overwrite=overwrite)
        return ExportRequest(out, PACKAGE, _text_of(card), _license(license_id), dtype or rounding.FLOAT32)
    if card is not None or license_id is not None or dtype is not None:
        raise UserError(f"{out}: card, license and dtype are for packages: name a .zip, or give --format=package")
    program.check_out(out, overwrite=overwrite)
    return ExportRequest(out, str(ending))


def _text_of(card: str | Path | None) -> str:
    if card is None:
        return ""
    try:
        return Path(card).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(f"{card} cannot be read as text ({shown(str(error))}): name a file in Markdown") from error


def _license(given: str | None) -> str:
    if given is None:
        return package.NO_LICENSE
    if not given.replace("-", "").replace(".", "").isalnum() or given != given.lower():
        raise UserError(f"license={given!r} is no name of a license: write it as hubs do, such as cc-by-4.0")
    return given


def _mebibytes(*paths: Path) -> str:
    return f"{sum(path.stat().st_size for path in paths) / 2**20:.1f} MiB"
