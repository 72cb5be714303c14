"""The light-invariance curve: accuracy over brightness, of teacher and student, on the same clips in other light.

Every clip is photographed again by a model of a camera (lift_flax/data/camera.py): its frames, as the network is about
to see them, are taken back to linear light, exposed from four times down to a sixty-fourth, given the shot noise of a
pixel of 8000 electrons and read noise of 3, and quantised again.  That darkens honestly; what the recording does not
hold cannot be brought back, so above exposure 1 it only saturates.

The area under the curve is the mean accuracy between the first and the last exposure, over stops, by trapezia: 1 is
right in any light.  Exposure 1 is not the recording: the second camera's noise is in it.  The recording itself, and its
twins in other light, are marks beside the curve.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lift_flax.data.camera import Camera, Relight

EXPOSURES = tuple(2.0**stop for stop in range(2, -7, -1))
CAMERA = Camera(full_well=8000.0, read_noise=3.0)
COLOURS = {"teacher": "#b06a12", "student": "#1f6f9f"}  # of each network, in every picture
QUIET = "#777777"  # what helps to read a picture


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
    return {"camera": camera, "points": points, "area": {name: area(points, name) for name in COLOURS}}


def point(results: dict, luma: np.ndarray) -> dict:
    """One point of the curve: mean luma, top-1 and its interval of each network."""
    found = {"luma": float(luma.mean())}
    for name in COLOURS:
        scores = results[name]
        found[name] = scores and {"top1": scores["top1"], "interval": scores["interval"]}
    return found


def area(points: list[dict], network: str) -> float | None:
    """Mean top-1 over the stops between the first and the last exposure, by trapezia."""
    if any(p[network] is None for p in points):
        return None
    stops = -np.log2([p["exposure"] for p in points])
    return float(np.trapezoid([p[network]["top1"] for p in points], stops) / (stops[-1] - stops[0]))


def draw(found: dict, path: Path, chance: float) -> None:
    """Writes the curve as a picture."""
    figure = Figure(figsize=(7, 4.4), layout="constrained", dpi=150)
    axes = figure.subplots()
    plot(axes, found, chance)
    axes.grid(alpha=0.2)
    figure.savefig(path)


def plot(axes: Axes, found: dict, chance: float) -> None:
    """Draws the curve; the clips as they were recorded, and their twins in other light, are single marks."""
    recorded = found["recorded"]
    for network, colour in COLOURS.items():
        if found["area"][network] is None:
            continue
        points = sorted(found["points"], key=lambda p: p["luma"])
        lumas, top1 = [p["luma"] for p in points], [p[network]["top1"] for p in points]
        low, high = zip(*[p[network]["interval"] for p in points], strict=True)
        label = f"{network}, area {100 * found['area'][network]:.1f} %"
        axes.plot(lumas, top1, marker="o", markersize=4, color=colour, label=label)
        axes.fill_between(lumas, low, high, color=colour, alpha=0.12, linewidth=0)
        for twin in found["twins"]:
            axes.plot(twin["luma"], twin[network]["top1"], marker="*", markersize=12, color=colour, linestyle="")
        axes.plot(recorded["luma"], recorded[network]["top1"], marker="D", markersize=6, color=colour, fillstyle="none")
    for twin in found["twins"]:
        lowest = min(twin[network]["top1"] for network in COLOURS if twin[network])
        axes.annotate(twin["name"], (twin["luma"], lowest), xytext=(0, -15), textcoords="offset points", ha="center")
    axes.axvline(recorded["luma"], color=QUIET, linewidth=0.8, linestyle=":")
    axes.annotate("as recorded", (recorded["luma"], 0.02), rotation=90, ha="right", fontsize=8, color=QUIET)
    axes.axhline(chance, color=QUIET, linewidth=0.8, label=f"chance, {100 * chance:.1f} %")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="mean luma of the clips, 0 to 255", ylabel="top-1 accuracy", ylim=(0, 1.03))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.legend(frameon=False, loc="center right", fontsize=9)
