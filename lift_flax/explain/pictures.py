"""Draws an explanation: attention and activation over the gamma-corrected frames, as in the paper's Figs. 5 and 6."""

import re

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from lift_flax.explain.explainer import Explanation
from lift_flax.video import sampling
from lift_flax.video.picture.lettering import fitting, font

SIDE = 256  # px of a frame in the film
SHEET_SIDE, SHEET_FRAMES = 168, 8  # px of a frame, and how many, in the contact sheet
GAP, HEAD, BARS, FOOT, MARGIN = 8, 26, 44, 24, 140  # px; MARGIN: of the sheet, for its rows' names
OPACITY = 0.8  # of the colour at the highest weight; at the lowest it is transparent
DIMMED = 110  # mean level to which brighter clips are dimmed under the colours
FULL_RANGE, FAINTEST = 0.5, 0.3  # range of attention, in even shares, below which its colour fades; how far it fades
NEARLY_EVEN = 0.1  # range below which the heading says so
GROUND, TEXT, FAINT = "#14161c", "#f2f3f5", "#9aa3b2"
DEPTH = 1e-4  # share of the highest magnitude below which a spectrum is clipped
MAIN, LUMINOUS, FOR, AGAINST = "#b9a3ff", "#ffe08a", "#7fd6a4", "#e58080"  # bars
COLOURS = matplotlib.colormaps["inferno"]


class Overlays:
    """The maps of an explanation at `side` px, 0 to 1 over the whole clip, and laid over its frames."""

    def __init__(self, explanation: Explanation, side: int):
        self.of, self.side = explanation, side
        self.frames = np.stack([_scaled(frame, side) for frame in explanation.frames])  # [T, side, side, 3]
        shares = explanation.attention * explanation.attention.size  # 1 is an even share
        self.attention_range = float(shares.min()), float(shares.max())
        spread = max(self.attention_range[1] - self.attention_range[0], 1e-30)
        self.attention = self._enlarged((shares - self.attention_range[0]) / spread)
        self.activation = self._enlarged(explanation.activation / max(float(explanation.activation.max()), 1e-30))

    def painted(self, name: str, frame: int) -> UInt8[np.ndarray, "side side 3"]:
        """`name`: frames, attention or activation."""
        under = self.frames[frame]
        if name == "frames":
            return under
        under = under * min(1, DIMMED / max(self.frames.mean(), 1))  # colours do not show on white
        weight = getattr(self, name)[frame][..., None]  # [side, side, 1]
        colour, opacity = 255 * COLOURS(weight[..., 0])[..., :3], OPACITY * weight
        if name == "attention":
            low, high = self.attention_range
            opacity = opacity * np.clip((high - low) / FULL_RANGE, FAINTEST, 1)
        return np.round(under * (1 - opacity) + colour * opacity).astype(np.uint8)

    def legend(self, name: str) -> tuple[str, str]:
        """Labels of the two ends of the colour bar; attention is given in even shares."""
        low, high = self.attention_range
        if name == "activation":
            return "low: 0", "high"
        return f"low: {low:.2f}", f"high: {high:.2f} even shares"

    def heads(self) -> dict[str, str]:
        """{name: heading of its pictures}."""
        even = " (nearly even)" if self.attention_range[1] - self.attention_range[0] < NEARLY_EVEN else ""
        return {
            "frames": "gamma-corrected",
            "attention": f"space-time attention{even}",
            "activation": f"class activation ({self.of.stage})",
        }

    def _enlarged(self, maps: Float[np.ndarray, "t h w"]) -> Float[np.ndarray, "T side side"]:
        return enlarge(maps, (len(self.of.frames), self.side, self.side))


def enlarge(maps: Float[np.ndarray, "t h w"], shape: tuple[int, int, int]) -> Float[np.ndarray, "T H W"]:
    """Linear between the centres of cells in time and space; constant beyond the outermost."""
    from scipy import ndimage  # imported late because it is slow, and only needed to draw

    factors = [new / old for new, old in zip(shape, maps.shape, strict=True)]
    return np.asarray(ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True))


def film(explanation: Explanation, title: str, seconds: float) -> UInt8[np.ndarray, "T H W 3"]:
    """Frame, attention and activation side by side; `title` is the class, `seconds` the clip's length."""
    overlays = Overlays(explanation, SIDE)
    count = len(explanation.frames)
    pictures = []
    for t in range(count):
        image = Image.new("RGB", (3 * SIDE + 4 * GAP, HEAD + SIDE + BARS + FOOT + 2 * GAP), GROUND)
        draw = ImageDraw.Draw(image)
        for column, (name, head) in enumerate(overlays.heads().items()):
            left = GAP + column * (SIDE + GAP)
            draw.text((left, HEAD // 2), head, TEXT, font(14), "lm")
            image.paste(Image.fromarray(overlays.painted(name, t)), (left, HEAD))
            if name == "activation":
                _class_name(draw, title, left, HEAD + SIDE, SIDE)
            if name != "frames":
                _colour_bar(image, overlays.legend(name), left, HEAD + SIDE + BARS + GAP, SIDE)
        at = f", {seconds * (t + 0.5) / count:.1f} s"
        draw.text((GAP, HEAD + SIDE + 15), f"frame {t + 1} of {count}{at}", FAINT, font(12), "lm")
        _key(draw, "weight:", (("main stream", MAIN), ("luminous", LUMINOUS)), HEAD + SIDE + 37)
        _key(draw, "relevance:", (("for", FOR), ("against", AGAINST)), HEAD + SIDE + 59)
        box = (HEAD + SIDE + 6, HEAD + SIDE + BARS)
        _frame_weights(draw, explanation, t, (2 * GAP + SIDE, *box))
        _relevance(draw, explanation, t, (3 * GAP + 2 * SIDE, *box))
        pictures.append(np.asarray(image))
    return np.stack(pictures)  # [H, W, 3] -> [T, H, W, 3]


def contact_sheet(explanation: Explanation, title: str, heading: str) -> Image.Image:
    """Up to eight frames of the clip in three rows; `heading` stands above, `title` is the class."""
    overlays = Overlays(explanation, SHEET_SIDE)
    count, step, top = len(explanation.frames), SHEET_SIDE + GAP, 2 * HEAD
    shown = sampling.eval_indices(count, min(SHEET_FRAMES, count))
    size = (MARGIN + len(shown) * step + GAP, top + 3 * step + FOOT + GAP)
    image = Image.new("RGB", size, GROUND)
    draw = ImageDraw.Draw(image)
    draw.text((GAP, HEAD // 2 + 2), fitting(heading, 15, size[0] - 2 * GAP), TEXT, font(15, heading), "lm")
    for row, (name, head) in enumerate(overlays.heads().items()):
        y = top + row * step
        draw.multiline_text((GAP, y + SHEET_SIDE // 2), re.sub(" (?!even)", "\n", head), TEXT, font(14), "lm")
        for column, t in enumerate(shown):
            x = MARGIN + column * step
            image.paste(Image.fromarray(overlays.painted(name, int(t))), (x, y))
            if row == 0:
                draw.text((x, top - HEAD // 2), f"frame {t + 1} of {count}", FAINT, font(12), "lm")
            if name == "activation":
                _class_name(draw, title, x, y + SHEET_SIDE, SHEET_SIDE)
    for place, name in enumerate(("attention", "activation")):
        _colour_bar(image, overlays.legend(name), MARGIN + place * 3 * step, top + 3 * step, 3 * step - 2 * GAP)
    return image


def spectrum(spectra: Float[np.ndarray, "N 2 T E"]) -> Figure:
    """Draws the spectrum before and after each Fourier Enhancement, and its mean over the channels' frequencies."""
    levels, _, tokens, dim = spectra.shape
    size = np.abs(np.fft.fftshift(np.fft.fft2(spectra, norm="ortho"), axes=(2, 3)))  # [N, 2, T, E]
    size = np.log10(np.maximum(size, size.max() * DEPTH))
    cycles = np.fft.fftshift(np.fft.fftfreq(tokens, 1 / tokens))
    figure = Figure(figsize=(10, 1.2 + 1.9 * levels), layout="constrained", dpi=110)
    axes = figure.subplots(levels, 3, squeeze=False, width_ratios=(1, 1, 0.9))
    for level, row in enumerate(axes):
        for axis, picture, name in zip(row, size[level], ("before", "after"), strict=False):
            extent = (-dim / 2, dim / 2, cycles[0] - 0.5, cycles[-1] + 0.5)
            shown = axis.imshow(picture, cmap="inferno", aspect="auto", origin="lower", extent=extent)
            shown.set_clim(size.min(), size.max())
            axis.set_title(f"level {level + 1}, {name} the Fourier Enhancement", fontsize=9)
            row[2].plot(cycles, picture.mean(axis=1), marker=".", label=name)
        row[0].set_ylabel("cycles a clip")
        row[2].legend(frameon=False, fontsize=8)
        row[2].xaxis.set_major_locator(MaxNLocator(integer=True))
        row[2].grid(alpha=0.2)
        row[2].set_title("mean over channel frequencies", fontsize=9)
    for axis in axes[-1, :2]:
        axis.set_xlabel("frequency along the channels")
    axes[-1, 2].set_xlabel("cycles a clip")
    figure.colorbar(axes[-1, 1].images[0], ax=axes[:, :2], label="log10 of magnitude", shrink=min(1, 2 / levels))
    return figure


def _scaled(frame: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "side side 3"]:
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))


def _class_name(draw: ImageDraw.ImageDraw, title: str, left: int, bottom: int, width: int) -> None:
    """Writes the class in white over a picture, as in the paper."""
    size = 16 if width > 200 else 13
    text = fitting(title, size, width - 12)
    draw.text((left + 6, bottom - 6), text, "white", font(size, title), "ld", stroke_width=2, stroke_fill="black")


def _colour_bar(image: Image.Image, ends: tuple[str, str], left: int, top: int, width: int) -> None:
    """Draws a bar of all colours, from low to high, between its two labels."""
    draw, letters = ImageDraw.Draw(image), font(11)
    start = left + int(letters.getlength(ends[0])) + 6
    end = left + width - int(letters.getlength(ends[1])) - 6
    draw.text((left, top + 9), ends[0], FAINT, letters, "lm")
    draw.text((left + width, top + 9), ends[1], FAINT, letters, "rm")
    bar = np.round(255 * COLOURS(np.linspace(0, 1, max(end - start, 8)))[None, :, :3]).astype(np.uint8)  # [1, W, 3]
    image.paste(Image.fromarray(np.repeat(bar, 10, axis=0)), (start, top + 4))


def _key(draw: ImageDraw.ImageDraw, head: str, entries: tuple[tuple[str, str], ...], middle: int) -> None:
    """Writes the legend of the bars, below the first picture."""
    left, letters = GAP, font(12)
    draw.text((left, middle), head, FAINT, letters, "lm")
    left += int(letters.getlength(head)) + 10
    for text, colour in entries:
        draw.rectangle((left, middle - 4, left + 8, middle + 4), colour)
        draw.text((left + 13, middle), text, FAINT, letters, "lm")
        left += 26 + int(letters.getlength(text))


def _frame_weights(draw: ImageDraw.ImageDraw, explanation: Explanation, now: int, box: tuple[int, int, int]) -> None:
    """Draws a bar for each frame, in a row for each stream, which is scaled by itself; the current frame is bright."""
    left, top, bottom = box
    rows = [
        (weights, colour)
        for weights, colour in ((explanation.main, MAIN), (explanation.luminous, LUMINOUS))
        if weights.any()
    ]
    height = (bottom - top) / len(rows)
    for row, (weights, colour) in enumerate(rows):
        base, scale = top + (row + 1) * height, (height - 2) / float(weights.max())
        for t, weight in enumerate(weights):
            x0, x1 = _bar(left, t, len(weights))
            _fill(draw, (x0, base - float(weight) * scale, x1, base), colour, t == now)


def _relevance(draw: ImageDraw.ImageDraw, explanation: Explanation, now: int, box: tuple[int, int, int]) -> None:
    """Draws a bar for each frame: up where it speaks for the class, down where against."""
    left, top, bottom = box
    values, count = explanation.relevance, len(explanation.relevance)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (bottom - top) / max(high - low, 1e-30)
    zero = top + high * scale
    for t in range(count):
        x0, x1 = _bar(left, t, count)
        y0, y1 = sorted((zero, zero - float(values[t]) * scale))
        _fill(draw, (x0, y0, x1, y1), FOR if values[t] >= 0 else AGAINST, t == now)
    draw.line((left, zero, left + SIDE - 1, zero), FAINT)


def _bar(left: int, t: int, count: int) -> tuple[float, float]:
    """Where the bar of frame t begins and ends."""
    width = SIDE / count
    return left + t * width, left + (t + 1) * width - max(1, width * 0.2)


def _fill(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: str, bright: bool) -> None:
    if box[3] - box[1] >= 0.5:
        share = 1.0 if bright else 0.4
        rgb = tuple(round(255 * share * c) for c in to_rgb(colour))
        draw.rectangle(box, rgb)
