"""The pictures of an audit: frames of the clips, and histograms of their luma."""

import collections
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image, ImageDraw, ImageOps

from lift_flax.files import replacing
from lift_flax.video.checks import brightness
from lift_flax.video.decode import VideoError
from lift_flax.video.gamma import gamma_table
from lift_flax.video.inspection import Inspection
from lift_flax.video.picture import lettering

from .items import Item

_THUMB = (112, 84)  # px
_CLIPS = 8  # of each class on the sheet
_CLASSES = 60  # on the sheet at most
_NAMES, _LETTERS = 110, 11  # px for the name of a class, and the size of its letters
_LEGEND = 160  # px for a name in the legend, at 72 a inch
_LIFT = 1.8  # gamma of the lower row, so that dark clips can be seen
_DRAWN = 12  # classes with a curve of their own


def draw_luma(items: list[Item], inspections: dict[str, Inspection], path: Path) -> None:
    """Draws histograms of luma: a panel for each split, with a curve for each class and a thick one for all clips."""
    splits = sorted({item.split for item in items})
    figure = Figure(figsize=(6 * len(splits), 4.2), layout="constrained")
    levels = (np.arange(brightness.BINS) + 0.5) * 256 / brightness.BINS
    for axes, split in zip(np.atleast_1d(figure.subplots(1, len(splits), sharey=True)), splits, strict=True):
        by_class = collections.defaultdict(list)
        for item in items:
            if item.split == split:
                by_class[item.label].append(inspections[item.name].luma)
        means = {label: np.mean(lumas, axis=0) for label, lumas in sorted(by_class.items())}
        for label in list(means)[:_DRAWN]:
            axes.plot(levels, 100 * means[label], linewidth=1)
        whole = np.mean([luma for lumas in by_class.values() for luma in lumas], axis=0)
        axes.plot(levels, 100 * whole, color="black", linewidth=2.5)
        count = sum(len(lumas) for lumas in by_class.values())
        axes.set(title=f"{split}: {count:,} clips", xlabel="luma, 0 black to 255 white", yscale="log")
        axes.set_ylim(bottom=0.01)
        axes.grid(alpha=0.3)
        _name_curves(axes, [*list(means)[:_DRAWN], "all clips"])
    figure.axes[0].set_ylabel(f"% of pixels in each {256 // brightness.BINS} levels")
    with replacing(path) as part:
        figure.savefig(part, dpi=110)


def _name_curves(axes: Axes, names: list[str]) -> None:
    """Adds a legend with the names as they are, also those that matplotlib would take for formulas or leave out."""
    legend = axes.legend(axes.lines, [f"{number}" for number in range(len(names))], fontsize=7)
    for text, name in zip(legend.get_texts(), names, strict=True):
        broken, file = lettering.lines(name, 7, _LEGEND), lettering.typeface(lettering.drawable(name))
        text.set(text="\n".join(broken), parse_math=False, fontproperties=FontProperties(fname=file, size=7))


def clips_to_show(items: list[Item]) -> dict[str, list[Item]]:
    """Some clips of each class, evenly spread through the folder."""
    by_class: dict[str, list[Item]] = collections.defaultdict(list)
    for item in items:
        by_class[item.label].append(item)
    shown = {}
    for label in sorted(by_class)[:_CLASSES]:
        members, count = by_class[label], min(_CLIPS, len(by_class[label]))
        shown[label] = [members[k * len(members) // count] for k in range(count)]
    return shown


def draw_contact_sheet(
    shown: dict[str, list[Item]], frames: dict[str, UInt8[np.ndarray, "H W 3"] | VideoError], path: Path
) -> None:
    """Draws two rows for each class: frames of its clips, and the same frames after gamma correction."""
    width, height, top = _THUMB[0] + 4, 2 * _THUMB[1] + 6, 24
    sheet = Image.new("RGB", (_NAMES + _CLIPS * width, top + len(shown) * height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 6), f"Each class: frames of its clips; below, the same frames after gamma {_LIFT}.", fill="black")
    for row, (label, items) in enumerate(shown.items()):
        name = lettering.lines(label, _LETTERS, _NAMES - 12)
        draw.multiline_text(
            (6, top + row * height + _THUMB[1]), "\n".join(name), "black", lettering.font(_LETTERS, "".join(name)), "lm"
        )
        for column, item in enumerate(items):
            frame = frames[item.name]
            if isinstance(frame, VideoError):
                continue
            for below, picture in enumerate((frame, gamma_table(_LIFT)[frame])):
                thumb = ImageOps.fit(Image.fromarray(picture), _THUMB)
                sheet.paste(thumb, (_NAMES + column * width, top + row * height + below * (_THUMB[1] + 1)))
    with replacing(path) as part:
        sheet.save(part)
