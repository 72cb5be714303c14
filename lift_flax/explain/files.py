"""An explanation as files: films, pictures and numbers."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lift_flax.command_line import percent
from lift_flax.errors import UserError, system_reason
from lift_flax.explain import pictures
from lift_flax.explain.explainer import Explanation
from lift_flax.files import refuse_existing, replacing
from lift_flax.video import encode

_FILES = ("explain.json", "explain.mp4", "explain.gif", "sheet.png", "spectrum.png")
_SLOWEST, _FASTEST = 2.0, 12.0  # film, in frames a second


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raises UserError where `folder` is a file, or holds files of an explanation that may not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose another folder")
    for name in _FILES:
        refuse_existing(folder / name, overwrite=overwrite)


def write_files(explanation: Explanation, classes: tuple[str, ...], folder: Path, *, name: str, seconds: float) -> None:
    """Writes all files of one clip into `folder`, each whole or not at all, explain.json last; replaces older ones.

    Args:
      classes: names, by label.
      name: of the video, for the heading.
      seconds: length of the clip; the film plays at its pace, within limits.
    Raises:
      UserError: the folder cannot be made.
    """
    title = answer_text(explanation, classes)
    film = pictures.film(explanation, title, seconds)
    pace = float(np.clip(len(film) / seconds, _SLOWEST, _FASTEST))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot write to {folder}: {system_reason(error)}; choose another folder") from error
    with contextlib.ExitStack() as parts:  # they take their places at its end, the first one last

        def part(of: str) -> Path:
            return parts.enter_context(replacing(folder / of))

        part("explain.json").write_text(json.dumps(describe(explanation, classes, name), indent=2) + "\n")
        if not len(explanation.spectra):
            parts.enter_context(_removing(folder / "spectrum.png"))  # of an older explanation
        part("explain.mp4").write_bytes(encode.mp4(film, pace))
        part("explain.gif").write_bytes(encode.gif(film, pace))
        pictures.contact_sheet(explanation, title, f"{name}: {title}").save(part("sheet.png"))
        if len(explanation.spectra):
            pictures.spectrum(explanation.spectra).savefig(part("spectrum.png"))


@contextlib.contextmanager
def _removing(path: Path) -> Iterator[None]:
    """Removes `path` when the block ends; it stays if the block raises."""
    yield
    path.unlink(missing_ok=True)


def answer_text(explanation: Explanation, classes: tuple[str, ...]) -> str:
    """The explained class and its probability, for people."""
    return f"{classes[explanation.label]} {percent(float(explanation.probabilities[explanation.label]))}"


def describe(explanation: Explanation, classes: tuple[str, ...], name: str) -> dict:
    """What explain.json holds (docs/explain.md); places are [y, x] from 0 to 1."""
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
    """[y, x] of the centre of each frame's highest cell, from 0 to 1."""
    height, width = maps.shape[1:]
    rows, columns = np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), width)
    return np.stack([(rows + 0.5) / height, (columns + 0.5) / width], axis=1).tolist()
