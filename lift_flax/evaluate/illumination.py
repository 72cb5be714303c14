"""The light-invariance curve: accuracy of teacher and student over brightness, on the same clips in other light.

A model of a camera (lift_flax/video/camera.py) photographs every clip again.  The frames, as the network takes them, go
back to linear light, are exposed from four times down to a sixty-fourth, get the shot noise of a pixel of 8000
electrons and a read noise of 3, and are quantised.  Darkening is realistic.  Above exposure 1 the clip only saturates,
because the recording holds no more.

Of several folders of records, the clips of the first one are photographed; the others are marks beside the curve.

The area under the curve is the mean accuracy between the first and the last exposure, over stops, by the trapezoidal
rule; 1 means right in any light.  Exposure 1 differs from the recording by the noise of the second camera.  The
recording itself and its twins in other light are marks beside the curve.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lift_flax.data.records import Records
from lift_flax.evaluate import metrics
from lift_flax.evaluate.scoring import NETWORKS, SplitLogits, by_folder, groups_of, judge_networks
from lift_flax.files import write_text
from lift_flax.video.camera import Camera, Relight

EXPOSURES = tuple(2.0**stop for stop in range(2, -7, -1))
_CURVE = "illumination.json"
CAMERA = Camera(full_well=8000.0, read_noise=3.0)


def curve(score: Callable[[Relight], dict]) -> dict:
    """Scores clips at every exposure.

    Args:
      score: gives the `point` of all clips in a light.
    Returns:
      {"camera", "points": [{"exposure", "luma", "teacher", "student"}], "area": {"teacher", "student"}}.
    """
    points = [
        {"exposure": exposure, **score(Relight(dataclasses.replace(CAMERA, exposure=exposure)))}
        for exposure in EXPOSURES
    ]
    camera = {"full_well": CAMERA.full_well, "read_noise": CAMERA.read_noise}
    return {"camera": camera, "points": points, "area": {name: area(points, name) for name in NETWORKS}}


def measure(
    scored: SplitLogits,
    records: Records,
    ids: list[str],
    classes: tuple[str, ...],
    score: Callable[[list[str], Relight], SplitLogits],
) -> dict:
    """Measures the curve of the clips; of several folders, that of the first one's.

    Args:
      scored: what the clips `ids` scored as recorded.
      score: scores clips in a light.
    Returns:
      What `curve` gives, with "num_examples", "chance", "recorded" (the point of the clips as they are, with the "name"
      of their folder), and "twins", the points of the other folders: [{"name", "num_examples", "left_out", "luma",
      "teacher", "student"}].
    """

    def judged(clips: list[str], found: SplitLogits) -> dict:
        return point(judge_networks(found, groups_of(records, clips), classes), found["luma"])

    (first, clips, found), *others = by_folder(scored, records, ids)
    return {
        "num_examples": len(clips),
        "chance": metrics.chance(found["labels"]),
        "recorded": {"name": first, **judged(clips, found)},
        **curve(lambda light: judged(clips, score(clips, light))),
        "twins": [
            {"name": name, "num_examples": len(own), "left_out": 0, **judged(own, of_own)}
            for name, own, of_own in others
        ],
    }


def point(results: dict, luma: np.ndarray) -> dict:
    """Returns one point of the curve: mean luma, and each network's top-1 with its interval (None: no such network)."""
    networks = {}
    for name in NETWORKS:
        scores = results[name]
        networks[name] = scores and {"top1": scores["top1"], "interval": scores["interval"]}
    return {"luma": float(luma.mean()), **networks}


def keep(measured: dict, workdir: Path) -> None:
    """Writes a curve into the workdir of its run, as illumination.json."""
    write_text(workdir / _CURVE, json.dumps(measured, indent=2) + "\n")


def is_kept(workdir: Path) -> bool:
    """Whether a curve was measured there."""
    return (workdir / _CURVE).is_file()


def draw(measured: dict, workdir: Path) -> Path:
    """Draws the picture of a curve that is kept there; returns its path."""
    from lift_flax.evaluate import illumination_plot  # loads matplotlib, which only this needs

    illumination_plot.draw(measured, workdir / "illumination.png")
    return workdir / "illumination.png"


def area(points: list[dict], network: str) -> float | None:
    """Computes the mean top-1 over the stops between the first and the last exposure; None without such a network."""
    if any(p[network] is None for p in points):
        return None
    stops = -np.log2([p["exposure"] for p in points])
    return float(np.trapezoid([p[network]["top1"] for p in points], stops) / (stops[-1] - stops[0]))
