"""The light-invariance curve: accuracy of teacher and student over brightness, on the same clips in other light.

A model of a camera (lift_flax/video/camera.py) photographs every clip again.  The frames, as the network takes them, go
back to linear light, are exposed from four times down to a sixty-fourth, get the shot noise of a pixel of 8000
electrons and a read noise of 3, and are quantised.  Darkening is realistic.  Above exposure 1 the clip only saturates,
because the recording holds no more.

The area under the curve is the mean accuracy between the first and the last exposure, over stops, by the trapezoidal
rule; 1 means right in any light.  Exposure 1 differs from the recording by the noise of the second camera.  The
recording itself and its twins in other light are marks beside the curve.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.video.camera import Camera, Relight

EXPOSURES = tuple(2.0**stop for stop in range(2, -7, -1))
CAMERA = Camera(full_well=8000.0, read_noise=3.0)


def curve(score: Callable[[Relight], dict]) -> dict:
    """Scores the clips at every exposure.

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


def point(results: dict, luma: np.ndarray) -> dict:
    """Returns one point of the curve: mean luma, and each network's top-1 with its interval (None: no such network)."""
    networks = {}
    for name in NETWORKS:
        scores = results[name]
        networks[name] = scores and {"top1": scores["top1"], "interval": scores["interval"]}
    return {"luma": float(luma.mean()), **networks}


def area(points: list[dict], network: str) -> float | None:
    """Computes the mean top-1 over the stops between the first and the last exposure; None without such a network."""
    if any(p[network] is None for p in points):
        return None
    stops = -np.log2([p["exposure"] for p in points])
    return float(np.trapezoid([p[network]["top1"] for p in points], stops) / (stops[-1] - stops[0]))
