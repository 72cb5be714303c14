"""The pictures of an audit: what is in the clips, and how dark they are."""

import collections
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from data_prep.audit_items import Item, middle_frame
from data_prep.inspection import LUMA_BINS, Inspection

_THUMB = (112, 84)  # px
_CLIPS = 8  # of each class on the sheet
_CLASSES = 60  # on the sheet at most
_NAMES = 110  # px for the name of a class
_LIFT = 1.8  # gamma of the lower row, so that dark clips can be seen
_DRAWN = 12  # classes with a curve of their own


def draw_luma(items: list[Item], found: dict[str, Inspection], path: Path) -> None:
    """Histograms of luma: a panel for each split, in it a curve for each class and a thick one for all."""
    splits = sorted({item.split for item in items})
    figure = Figure(figsize=(6 * len(splits), 4.2), layout="constrained")
    levels = (np.arange(LUMA_BINS) + 0.5) * 256 / LUMA_BINS
    for axes, split in zip(np.atleast_1d(figure.subplots(1, len(splits), sharey=True)), splits, strict=True):
        by_class = collections.defaultdict(list)
        for item in items:
            if item.split == split:
                by_class[item.label].append(found[item.name].luma)
        means = {label: np.mean(lumas, axis=0) for label, lumas in sorted(by_class.items())}
        for label in list(means)[:_DRAWN]:
            axes.plot(levels, 100 * means[label], linewidth=1, label=label)
        whole = np.mean([luma for lumas in by_class.values() for luma in lumas], axis=0)
        axes.plot(levels, 100 * whole, color="black", linewidth=2.5, label=f"all {len(means)} classes")
        count = sum(len(lumas) for lumas in by_class.values())
        axes.set(title=f"{split}: {count:,} clips", xlabel="luma, 0 black to 255 white", yscale="log")
        axes.set_ylim(bottom=0.01)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.axes[0].set_ylabel(f"% of pixels in each {256 // LUMA_BINS} levels")
    figure.savefig(path, dpi=110)


def draw_contact_sheet(items: list[Item], found: dict[str, Inspection], path: Path) -> None:
    """A row for each class: the middle frame of some of its clips, below it the same frame gamma-corrected."""
    from lift_flax.data.gamma import gamma_table  # here: it loads JAX, which no worker process needs

    by_class: dict[str, list[Item]] = collections.defaultdict(list)
    for item in items:
        by_class[item.label].append(item)
    rows = sorted(by_class)[:_CLASSES]
    width, height = _THUMB[0] + 4, 2 * _THUMB[1] + 6
    sheet = Image.new("RGB", (_NAMES + _CLIPS * width, len(rows) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(rows):
        members = by_class[label]
        draw.text((6, row * height + _THUMB[1] - 12), f"{label[:17]}\n{len(members):,} clips", fill="black")
        count = min(_CLIPS, len(members))
        for column, item in enumerate(members[k * len(members) // count] for k in range(count)):
            frame = middle_frame(item.source, found[item.name].num_frames)
            for below, picture in enumerate((frame, gamma_table(_LIFT)[frame])):
                thumb = ImageOps.fit(Image.fromarray(picture), _THUMB)
                sheet.paste(thumb, (_NAMES + column * width, row * height + below * (_THUMB[1] + 1)))
    sheet.save(path)
