"""A dark sheet measured in tenths of an inch, on which the pictures of the documents are drawn."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

GROUND, TEXT, FAINT = "#151a25", "#edeff5", "#9aa5ba"
TRAINED, FROZEN, PLAIN = ("#f5b04c", "#3b3020"), ("#6ea8ff", "#1d2c47"), ("#8893a8", "#252c3b")  # edge, fill


class Board:
    """The sheet, and the few things that are drawn on it."""

    def __init__(self, width: float, height: float):
        self.size = (width, height)
        self.figure = Figure(figsize=(width / 10, height / 10), facecolor=GROUND)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.keep_size()

    def keep_size(self):
        """Undoes what drawing an image does to the axes."""
        self.axes.set(xlim=(0, self.size[0]), ylim=(0, self.size[1]))
        self.axes.set_axis_off()

    def text(self, x, y, words, size=11, colour=TEXT, ha="center", **more):
        self.axes.text(x, y, words, fontsize=size, color=colour, ha=ha, va="center", **more)

    def box(self, left, bottom, right, top, colours, rows=(), z=2):
        """A rounded box with `rows` (words, size, colour, weight) spread from top to bottom."""
        edge, fill = colours
        shape = "round,pad=0,rounding_size=1.1"
        size = (right - left, top - bottom)
        self.axes.add_patch(FancyBboxPatch((left, bottom), *size, boxstyle=shape, ec=edge, fc=fill, lw=1.8, zorder=z))
        step = (top - bottom) / (len(rows) + 0.5)
        for i, (words, size, colour, weight) in enumerate(rows):
            self.text((left + right) / 2, top - step * (i + 0.75), words, size, colour, weight=weight, zorder=z + 1)

    def part(self, left, bottom, right, top, colours, title, lines=(), count=None):
        """A box that stands for a part of the network: title, lines, number of parameters."""
        rows = [(title, 14, TEXT, "bold"), *[(line, 10.5, TEXT, "normal") for line in lines]]
        rows += [] if count is None else [(f"{count:,}", 11, colours[0], "bold")]
        self.box(left, bottom, right, top, colours, rows)

    def arrow(self, *points, colour=TEXT, label="", at=None):
        """A line through `points` with a head at its end; `label` is centred at `at`."""
        xs, ys = zip(*points[:-1], strict=True)
        self.axes.plot(xs, ys, color=colour, lw=2.2, zorder=4, solid_capstyle="round")
        style = {"arrowstyle": "-|>", "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0, "lw": 2.2, "zorder": 4}
        self.axes.add_patch(FancyArrowPatch(points[-2], points[-1], color=colour, **style))
        if label:
            self.text(*at, label, 10.5, colour, zorder=5, linespacing=1.2)

    def cards(self, images, left, bottom, width, height):
        """A few frames stacked like cards, the first in front."""
        for i, image in enumerate(images):
            x, y, z = left + 1.1 * i, bottom + 1.1 * i, 5 - 0.2 * i
            self.axes.imshow(image, extent=(x, x + width, y, y + height), aspect="auto", zorder=z)
            self.axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=FAINT, lw=1, zorder=z + 0.1))
        self.keep_size()
