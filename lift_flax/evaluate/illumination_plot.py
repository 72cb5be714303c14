"""The picture of the light-invariance curve (lift_flax/evaluate/illumination.py)."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lift_flax.files import replacing
from lift_flax.video.picture import lettering

COLOURS = {"teacher": "#b06a12", "student": "#1f6f9f"}  # of each network, in every picture
QUIET = "#777777"  # of lines and texts that help to read a picture


def draw(curve: dict, path: Path) -> None:
    """Writes the picture of a curve, whole or not at all, as `illumination.measure` gives it."""
    figure = Figure(figsize=(7, 4.4), layout="constrained", dpi=150)
    axes = figure.subplots()
    plot(axes, curve, curve["chance"])
    axes.grid(alpha=0.2)
    with replacing(path) as part:
        figure.savefig(part)


def plot(axes: Axes, curve: dict, chance: float) -> None:
    """Draws a curve; the recorded clips and their twins in other light are single marks."""
    recorded = curve["recorded"]
    for network, colour in COLOURS.items():
        if curve["area"][network] is None:
            continue
        points = sorted(curve["points"], key=lambda p: p["luma"])
        lumas, top1 = [p["luma"] for p in points], [p[network]["top1"] for p in points]
        low, high = zip(*[p[network]["interval"] for p in points], strict=True)
        label = f"{network}, area {100 * curve['area'][network]:.1f} %"
        axes.plot(lumas, top1, marker="o", markersize=4, color=colour, label=label)
        axes.fill_between(lumas, low, high, color=colour, alpha=0.12, linewidth=0)
        for twin in curve["twins"]:
            axes.plot(twin["luma"], twin[network]["top1"], marker="*", markersize=12, color=colour, linestyle="")
        axes.plot(recorded["luma"], recorded[network]["top1"], marker="D", markersize=6, color=colour, fillstyle="none")
    for twin in curve["twins"]:
        lowest = min(twin[network]["top1"] for network in COLOURS if twin[network])
        name, at = lettering.drawable(twin["name"]), {"xytext": (0, -15), "textcoords": "offset points", "ha": "center"}
        axes.annotate(name, (twin["luma"], lowest), **at, parse_math=False, font=lettering.typeface(name))
    axes.axvline(recorded["luma"], color=QUIET, linewidth=0.8, linestyle=":")
    axes.annotate("as recorded", (recorded["luma"], 0.02), rotation=90, ha="right", fontsize=8, color=QUIET)
    axes.axhline(chance, color=QUIET, linewidth=0.8, label=f"chance, {100 * chance:.1f} %")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="mean luma of the clips, 0 to 255", ylabel="top-1 accuracy", ylim=(0, 1.03))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.legend(frameon=False, loc="center right", fontsize=9)
