"""Shows what a trained LIFT-Net looked at in a video.

    python -m lift_flax.explain --workdir=RUN VIDEO... --out=DIR
    python -m lift_flax.explain --workdir=RUN VIDEO --out=DIR --label=Wave    # what speaks for this class instead

For each video DIR/NAME/ holds explain.mp4 and explain.gif (frame, attention, activation side by side), sheet.png (the
same of eight frames), spectrum.png (before and after each Fourier Enhancement) and explain.json.  docs/explain.md says
what each picture means, and what it does not.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lift_flax import command_line, compiling, errors
from lift_flax.errors import UserError, system_reason
from lift_flax.explain import pictures
from lift_flax.explain.explainer import Explainer, Explanation
from lift_flax.files import write_text
from lift_flax.predict.reading import read_whole
from lift_flax.runs.trained import open_trained
from lift_flax.video import encode
from lift_flax.video.paths import named_videos

_PACE = 2.0, 12.0  # slowest and fastest film, frames a second


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(argv)
    videos = named_videos(args.videos)
    folders = [args.out / name for name in folder_names(videos)]
    _check_folders(folders, args.overwrite)
    compiling.keep_compiled_programs()
    trained, bad = open_trained(args.workdir), 0
    label, explainer = _label(args.label, trained.classes), Explainer(trained)
    for video, folder in zip(videos, folders, strict=True):
        try:
            clip = read_whole(video, trained)
            explanation = explainer(clip.parts, label)
            write(explanation, trained.classes, folder, name=video.name, seconds=clip.end - clip.start)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            bad += 1
            continue
        print(f"{folder}: {_title(explanation, trained.classes)}", flush=True)
    if bad:
        raise UserError(f"{bad} of {len(folders)} videos could not be explained: see the lines above")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, "lift-flax explain")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="file, folder, pattern, or - for paths on stdin")
    parser.add_argument("--workdir", type=Path, required=True, help="of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder; each video gets a folder of its own in it")
    parser.add_argument("--label", metavar="NAME", help="class to explain; the predicted one if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier explanation")
    return parser


def _label(name: str | None, classes: tuple[str, ...]) -> int | None:
    if name is not None and name not in classes:
        raise UserError(f"--label={name}: the run does not know this class; it knows {', '.join(classes)}")
    return None if name is None else classes.index(name)


def folder_names(videos: Sequence[Path]) -> list[str]:
    """A folder's name for each video: its name without extension, and a number where that is taken."""
    names: list[str] = []
    for video in videos:
        name, number = video.stem, 2
        while name in names:
            name, number = f"{video.stem}-{number}", number + 1
        names.append(name)
    return names


def _check_folders(folders: list[Path], overwrite: bool) -> None:
    for folder in folders:
        if folder.exists() and not (overwrite and folder.is_dir()):
            raise UserError(f"{folder} exists already: choose another --out, or replace its files with --overwrite")


def write(explanation: Explanation, classes: tuple[str, ...], folder: Path, *, name: str, seconds: float) -> None:
    """Writes all files of one clip into `folder`, each whole or not at all, explain.json last.

    Args:
      name: of the video, for the heading.
      seconds: that the clip lasts; the film then plays at its pace, within limits.
    """
    title = _title(explanation, classes)
    shown = pictures.film(explanation, title, seconds)
    pace = float(np.clip(len(shown) / seconds, *_PACE))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot write to {folder}: {system_reason(error)}; choose another --out") from error
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        new = Path(part)
        (new / "explain.mp4").write_bytes(encode.mp4(shown, pace))
        (new / "explain.gif").write_bytes(encode.gif(shown, pace))
        pictures.contact_sheet(explanation, title, f"{name}: {title}").save(new / "sheet.png")
        if len(explanation.spectra):
            pictures.spectrum(explanation.spectra).savefig(new / "spectrum.png")
        for path in sorted(new.iterdir()):
            os.replace(path, folder / path.name)
    write_text(folder / "explain.json", json.dumps(describe(explanation, classes, name), indent=2) + "\n")


def _title(explanation: Explanation, classes: tuple[str, ...]) -> str:
    return f"{classes[explanation.label]} {100 * explanation.probabilities[explanation.label]:.1f} %"


def describe(explanation: Explanation, classes: tuple[str, ...], name: str) -> dict:
    """What explain.json holds; places are [y, x] from 0 to 1, the centre of the cell where a frame's map is highest."""
    best = int(explanation.probabilities.argmax())
    count = len(explanation.frames)
    in_time = pictures.enlarge(explanation.activation, (count, *explanation.activation.shape[1:]))
    return {
        "video": name,
        "class": classes[explanation.label],
        "probability": float(explanation.probabilities[explanation.label]),
        "predicted": {"class": classes[best], "probability": float(explanation.probabilities[best])},
        "frame_weights": {"main": explanation.main.tolist(), "luminous": explanation.luminous.tolist()},
        "relevance": explanation.relevance.tolist(),
        "attention": {"map": explanation.attention.tolist(), "peaks": peaks(explanation.attention)},
        "activation": {"of": explanation.stage, "map": explanation.activation.tolist(), "peaks": peaks(in_time)},
    }


def peaks(maps: Float[np.ndarray, "T h w"]) -> list[list[float]]:
    """[y, x] of each frame's highest cell, its centre, from 0 to 1."""
    height, width = maps.shape[1:]
    rows, columns = np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), width)
    return np.stack([(rows + 0.5) / height, (columns + 0.5) / width], axis=1).tolist()


if __name__ == "__main__":
    errors.run_cli(main)
