"""The pictures of an audit: frames of the clips, and histograms of their luma."""

import collections
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from lift_flax.files import replacing
from lift_flax.video.checks import brightness
from lift_flax.video.decode import VideoError
from lift_flax.video.gamma import gamma_table
from lift_flax.video.inspection import Inspection

from .items import Item

_THUMB = (112, 84)  # px
_CLIPS = 8  # of each class on the sheet
_CLASSES = 60  # on the sheet at most
_NAMES = 110  # px for the name of a class
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
            axes.plot(levels, 100 * means[label], linewidth=1, label=label)
        whole = np.mean([luma for lumas in by_class.values() for luma in lumas], axis=0)
        axes.plot(levels, 100 * whole, color="black", linewidth=2.5, label="all clips")
        count = sum(len(lumas) for lumas in by_class.values())
        axes.set(title=f"{split}: {count:,} clips", xlabel="luma, 0 black to 255 white", yscale="log")
        axes.set_ylim(bottom=0.01)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.axes[0].set_ylabel(f"% of pixels in each {256 // brightness.BINS} levels")
    with replacing(path) as part:
        figure.savefig(part, dpi=110)


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
        draw.text((6, top + row * height + _THUMB[1] - 12), label[:17], fill="black")
        for column, item in enumerate(items):
            frame = frames[item.name]
            if isinstance(frame, VideoError):
                continue
            for below, picture in enumerate((frame, gamma_table(_LIFT)[frame])):
                thumb = ImageOps.fit(Image.fromarray(picture), _THUMB)
                sheet.paste(thumb, (_NAMES + column * width, top + row * height + below * (_THUMB[1] + 1)))
    with replacing(path) as part:
        sheet.save(part)
