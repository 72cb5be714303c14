"""The light-invariance curve: accuracy over brightness, of teacher and student, on the same clips in other light.

Every clip is photographed again by a model of a camera (lift_flax/video/camera.py): its frames, as the network is about
to see them, are taken back to linear light, exposed from four times down to a sixty-fourth, given the shot noise of a
pixel of 8000 electrons and read noise of 3, and quantised again.  That darkens honestly; what the recording does not
hold cannot be brought back, so above exposure 1 it only saturates.

The area under the curve is the mean accuracy between the first and the last exposure, over stops, by trapezia: 1 is
right in any light.  Exposure 1 is not the recording: the second camera's noise is in it.  The recording itself, and its
twins in other light, are marks beside the curve.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.video.camera import Camera, Relight

EXPOSURES = tuple(2.0**stop for stop in range(2, -7, -1))
CAMERA = Camera(full_well=8000.0, read_noise=3.0)


def curve(score: Callable[[Relight], dict]) -> dict:
    """{"camera", "points": [{"exposure", "luma", "teacher", "student"}], "area": {"teacher", "student"}}.

    Args:
      score: what `point` gives of all clips in this light, "exposure" aside.
    """
    points = [
        {"exposure": exposure, **score(Relight(dataclasses.replace(CAMERA, exposure=exposure)))}
        for exposure in EXPOSURES
    ]
    camera = {"full_well": CAMERA.full_well, "read_noise": CAMERA.read_noise}
    return {"camera": camera, "points": points, "area": {name: area(points, name) for name in NETWORKS}}


def point(results: dict, luma: np.ndarray) -> dict:
    """One point of the curve: mean luma, top-1 and its interval of each network."""
    found = {"luma": float(luma.mean())}
    for name in NETWORKS:
        scores = results[name]
        found[name] = scores and {"top1": scores["top1"], "interval": scores["interval"]}
    return found


def area(points: list[dict], network: str) -> float | None:
    """Mean top-1 over the stops between the first and the last exposure, by trapezia."""
    if any(p[network] is None for p in points):
        return None
    stops = -np.log2([p["exposure"] for p in points])
    return float(np.trapezoid([p[network]["top1"] for p in points], stops) / (stops[-1] - stops[0]))
