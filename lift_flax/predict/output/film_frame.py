"""One frame of a film of answers: the picture with its label, and below it bars of the classes and a timeline."""

import functools
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from lift_flax.command_line import percent
from lift_flax.predict.answers import ClipAnswer, VideoAnswer
from lift_flax.predict.output.lines import clock, named
from lift_flax.video.picture.lettering import fitting, font

WIDEST, NARROWEST, TALLEST = 1280, 480, 2160  # px of a film's pictures; what is very tall may be narrower
_BARS = 3  # classes with a bar
_GROUND, _TEXT, _FAINT, _UNSURE, _NOW = "#14161c", "#f2f3f5", "#9aa3b2", "#4a5160", "#ffffff"
_PALETTE = matplotlib.colormaps["tab20"]


def film_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the picture in a film of a video of this size: even, its width from 480 to 1280 px."""
    scale = min(min(max(width, NARROWEST), WIDEST) / width, TALLEST / height)
    return max(64, round(width * scale / 2) * 2), max(64, round(height * scale / 2) * 2)


class FilmFrames:
    """Draws the frames of the film of one video.

    Args:
      answer: of the video.
      size: width and height of its pictures, as `film_size` gives them.
      seconds: of the whole video.
    """

    def __init__(self, answer: VideoAnswer, size: tuple[int, int], seconds: float):
        self._answer, self._size, self._seconds = answer, size, max(seconds, 1e-9)
        self._letters = min(max(size[0] // 36, 14), 28)  # px
        self._parts: Sequence[ClipAnswer] = answer.timeline if answer.is_long else answer.events
        middles = np.array([(part.start + part.end) / 2 for part in self._parts])
        self._cuts = (middles[1:] + middles[:-1]) / 2  # from which second on the next part is nearer
        self._bars = functools.lru_cache(maxsize=2)(self._draw_bars)  # a part lasts for many frames

    def part_at(self, second: float) -> int:
        """Number of the clip whose middle is nearest to this second."""
        return int(np.searchsorted(self._cuts, second, side="right"))

    def draw(self, picture: UInt8[np.ndarray, "h w 3"], second: float) -> UInt8[np.ndarray, "H w 3"]:
        """The frame of the film at this second; `picture` has the size of this one's pictures."""
        place = self.part_at(second)
        part, pad = self._parts[place], self._letters // 2
        image = Image.fromarray(picture)
        title = fitting(named(part), self._letters + 4, self._size[0] - 2 * pad)
        colours = {"fill": _TEXT if part.sure else _FAINT, "stroke_width": 2, "stroke_fill": "black"}
        ImageDraw.Draw(image).text((pad, pad), title, font=font(self._letters + 4, title), anchor="la", **colours)
        below = self._bars(place).copy()
        draw, at = ImageDraw.Draw(below), self._x(second)
        _, top, bottom = self._timeline_box()
        draw.line((at, top - 3, at, bottom + 3), _NOW, width=3)
        times = f"{clock(second)} of {clock(self._seconds)}"
        draw.text((pad, bottom + 5), times, _FAINT, font(self._letters - 3), "la")
        return np.concatenate([np.asarray(image), np.asarray(below)])

    def _row(self) -> int:
        """px from one bar to the next."""
        return self._letters + self._letters // 2

    def _timeline_box(self) -> tuple[int, int, int]:
        """(left, top, bottom) of the timeline, below the bars."""
        top = self._letters // 2 + self._bar_count() * self._row() + 4
        return self._letters // 2, top, top + self._letters

    def _bar_count(self) -> int:
        return min(_BARS, len(self._answer.classes))

    def _x(self, second: float) -> int:
        left, _, _ = self._timeline_box()
        return left + round((self._size[0] - 2 * left) * min(second / self._seconds, 1))

    def _draw_bars(self, place: int) -> Image.Image:
        """What stands below the picture while a clip is the nearest: its bars, and the timeline."""
        width, pad, row = self._size[0], self._letters // 2, self._row()
        _, top, bottom = self._timeline_box()
        height = (bottom + self._letters + pad + 1) // 2 * 2
        image = Image.new("RGB", (width, height), _GROUND)
        draw = ImageDraw.Draw(image)
        shares = self._parts[place].probabilities
        assert shares is not None, "each clip of an answer has them"
        best = np.argsort(-shares, kind="stable")[: self._bar_count()]
        left, right = round(0.36 * width), width - pad - 5 * self._letters
        for line, label in enumerate(best):
            middle, share = pad + line * row + row // 2, float(shares[label])
            name = fitting(self._answer.classes[label], self._letters, left - 2 * pad)
            draw.text((pad, middle), name, _TEXT, font(self._letters, name), "lm")
            end = left + max(1, round((right - left) * share))
            draw.rectangle((left, middle - row // 4, end, middle + row // 4), _colour(int(label)))
            draw.text((width - pad, middle), percent(share), _TEXT, font(self._letters), "rm")
        for event in self._answer.events:
            colour = _colour(self._answer.classes.index(event.label)) if event.sure else _UNSURE
            start = self._x(event.start)
            draw.rectangle((start, top, max(self._x(event.end) - 1, start), bottom), colour)
        return image


def _colour(label: int) -> tuple[int, int, int]:
    """Of a class: ten strong colours, then ten pale ones."""
    red, green, blue, _ = _PALETTE(2 * label % 20 + label // 10 % 2)
    return round(255 * red), round(255 * green), round(255 * blue)
