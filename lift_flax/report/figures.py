"""The drawings of a report: SVG that takes the width, fonts and colours of its page."""

import io
import re
from collections.abc import Callable

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lift_flax.evaluate.illumination_plot import COLOURS, QUIET, plot

# Colours of matplotlib's output, and their replacements on the page, which follow its light or dark mode.
_INK, _QUIET = "#101112", QUIET
_ON_PAGE = {_INK: "currentColor", _QUIET: "var(--quiet)"}
_ON_PAGE |= {colour: f"var(--{name})" for name, colour in COLOURS.items()}
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.linewidth": 0.6,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.8,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}
_PANEL = (3.2, 2.3)  # inches


def curve(phase: str, title: str, series: dict[str, list[tuple[float, float]]]) -> Markup:
    """Values over epochs: a line for training, a dashed one for validation.

    Args:
      phase: teacher or student.
      title: of what; says whether values are shares of 1 or learning rates.
      series: {"train": [(epoch, value)], "validation": ...}; one of them may be empty.
    """

    def draw(axes: Axes) -> None:
        colour = COLOURS[phase]
        if train := series["train"]:
            axes.plot(*zip(*train, strict=True), color=colour, marker=_marker(train), linewidth=1.8, label="training")
        if validation := series["validation"]:
            style = {"linewidth": 1.4, "linestyle": "--", "marker": "o", "markersize": 3.5}
            axes.plot(*zip(*validation, strict=True), color=colour, label="validation", **style)
        if "accuracy" in title:
            axes.set_ylim(0, 1.03)
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        else:
            axes.set_ylim(0, 1.08 * max(value for points in series.values() for _, value in points) or 1)
        if "rate" in title:
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("epoch")
        if series["validation"]:
            axes.figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9, handlelength=1.4)

    return _inline_svg(f"{phase}: {title}", _PANEL, draw)


def _marker(points: list[tuple[float, float]]) -> str:
    """A dot where the points are too few for a line."""
    return "o" if len(points) < 3 else ""


def confusion(network: str, shares: Float[np.ndarray, "K K"]) -> Markup:
    """A picture of a confusion matrix whose rows are shares of a true class."""
    pixels = np.empty((*shares.shape, 4), np.float32)  # [K, K, RGBA]: the share is the opacity, on either background
    pixels[..., :3] = to_rgb(COLOURS[network])
    pixels[..., 3] = np.where(shares > 0, 0.15 + 0.85 * shares, 0)

    def draw(axes: Axes) -> None:
        axes.imshow(pixels, interpolation="none")
        axes.set(xlabel="predicted class, by number", ylabel="true class, by number")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))

    return _inline_svg(f"{network}: confusion matrix", (4.2, 4.1), draw)


def brightness(measured: dict, chance: float) -> Markup:
    """The light-invariance curve that illumination.json holds."""
    return _inline_svg("accuracy over brightness", (4.4, 3.4), lambda axes: plot(axes, measured, chance))


def _inline_svg(name: str, inches: tuple[float, float], draw: Callable[[Axes], None]) -> Markup:
    """An <svg> element with what `draw` draws; `name` describes it and makes its ids unique."""
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    style = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):  # pyright: ignore[reportArgumentType]  # these are names that it lists
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf'<svg \1 role="img" aria-label="{name}">', svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for colour, on_page in _ON_PAGE.items():
        svg = svg.replace(colour, on_page)
    return Markup(svg)
