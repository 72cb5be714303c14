"""Measures a package for its card: what it answers for rendered people whom it has not seen, and for real ones."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks import real_people
from benchmarks.real_people import RealClip
from data_prep.night_figures.street.data_set import write_street
from lift_flax import command_line
from lift_flax.evaluate import metrics
from lift_flax.predict.predictor import Predictor
from lift_flax.runs.trained import TrainedRun, open_trained

SEED, CLIPS = 900, 132  # of the rendered clips to test on
CHOSEN_ON = ("daria", "denis", "eli")  # people by whom the rendering was chosen
LUMA = 17  # of the clips that are filmed again in the dark, as in ARID


def weights_digest(package: Path) -> str:
    """Which arrays a package holds: the SHA-256 of their file."""
    return hashlib.sha256((package / "model.safetensors").read_bytes()).hexdigest()


def rendered_clips(folder: Path, workers: int | None = None) -> list[RealClip]:
    """Renders the clips to test on below a folder, where they are not there yet; a group is a place."""
    write_street(folder, seed=SEED, clips=CLIPS, workers=workers)
    return [clip._replace(group=clip.path.stem.split("_")[1]) for clip in real_people.arid(folder)]


def rendered_scores(predictor: Predictor, folder: Path) -> tuple[dict[str, Any], Float[np.ndarray, "N K"]]:
    """(scores among all classes, what was answered)."""
    clips, classes = rendered_clips(folder), predictor.trained.classes
    shares = real_people.probabilities(predictor, clips)
    scores = _scores(clips, real_people.likeliest(shares, classes, classes))
    return scores | _sure(predictor.trained, clips, shares), shares


def real_sets(weizmann: Path | None, dark: Path | None, arid: Path | None) -> dict[str, list[RealClip]]:
    """The real clips that are scored, by what a card calls them.

    Args:
      weizmann: folder of its clips.
      dark: the same clips, filmed again in the dark (`lift-flax darken`).
      arid: folder of its clips and lists.
    """
    found = {}
    for name, folder in (("by day", weizmann), ("in the dark", dark)):
        if folder:
            people = [clip for clip in real_people.weizmann(folder, []) if clip.group not in CHOSEN_ON]
            found[f"Weizmann {name}"] = people
    return found | ({"ARID": real_people.arid(arid)} if arid else {})


def real_scores(predictor: Predictor, clips: list[RealClip]) -> dict[str, Any]:
    """The scores of a set of real clips: among the classes that it shows, and among all."""
    shares, known = real_people.probabilities(predictor, clips), predictor.trained.classes
    wanted = sorted({clip.class_name for clip in clips})
    return {
        "classes": wanted,
        "groups": len({clip.group for clip in clips}),
        "among_these": _scores(clips, real_people.likeliest(shares, known, wanted)),
        "among_all": _scores(clips, real_people.likeliest(shares, known, known)),
        **_sure(predictor.trained, clips, shares),
    }


def _sure(trained: TrainedRun, clips: list[RealClip], shares: Float[np.ndarray, "N K"]) -> dict[str, Any]:
    """How many answers reach the threshold of the run, and how many of those are right; without one, of no answer."""
    if not trained.calibration:
        return {"sure": 0, "sure_right": 0}
    sure = shares.max(axis=1) >= trained.calibration.threshold
    right = np.array([trained.classes[label] for label in shares.argmax(axis=1)]) == [c.class_name for c in clips]
    return {"sure": int(sure.sum()), "sure_right": int((sure & right).sum())}


def _scores(clips: list[RealClip], found: list[str]) -> dict[str, Any]:
    """How many are right, with the interval of their share, and what the clips of each kind were taken for."""
    pairs = [*zip(clips, found, strict=True)]
    hits = np.array([clip.class_name == answer for clip, answer in pairs])
    taken = {
        kind: dict(sorted(Counter(answer for clip, answer in pairs if clip.kind == kind).items()))
        for kind in dict.fromkeys(clip.kind for clip in clips)
    }
    interval = metrics.interval(hits, [clip.group for clip in clips])
    return {"right": int(hits.sum()), "clips": len(hits), "interval": interval, "taken_for": taken}


def measure(package: Path, whole: TrainedRun, rendered: Path, sets: dict[str, list[RealClip]]) -> dict[str, Any]:
    """All numbers of a card.

    Args:
      package: that is measured.
      whole: the run that it was made of, before it was rounded.
      rendered: folder of the rendered clips, filled where it is empty.
      sets: real clips (`real_sets`); empty leaves them out.
    """
    predictor = Predictor(open_trained(package))
    command_line.say("scoring rendered people ...")
    scores, shares = rendered_scores(predictor, rendered)
    _, exact = rendered_scores(Predictor(whole), rendered)
    real = {}
    for name, clips in sets.items():
        command_line.say(f"scoring {name} ...")
        real[name] = real_scores(predictor, clips)
    return {
        "weights": weights_digest(package),
        "rendered": {"seed": SEED, "groups": len({clip.group for clip in rendered_clips(rendered)}), **scores},
        "rounding": {
            "largest_difference": float(np.abs(shares - exact).max()),
            "other_labels": int((shares.argmax(axis=1) != exact.argmax(axis=1)).sum()),
        },
        "real": real,
    }
