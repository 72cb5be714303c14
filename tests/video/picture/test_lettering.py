"""Names on pictures are those of the classes, whatever characters they have and however long they are."""

import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from PIL import Image, ImageDraw

from data_prep.audit import pictures
from data_prep.audit.items import Item
from lift_flax.evaluate import illumination_plot
from lift_flax.video.inspection import inspect_pictures
from lift_flax.video.picture import lettering
from tests.support.names import NAMES

CHINESE = "\u8dd1\u6b65"  # DejaVu Sans lacks both


@pytest.fixture
def chinese_font(tmp_path: Path):
    """A font with the two characters of CHINESE, as machines of those who write so have one."""
    font = TTFont(lettering.DEJAVU)
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap |= {ord(character): table.cmap[ord("A")] for character in CHINESE}
    for record in font["name"].names:
        record.string = str(record).replace("DejaVu", "Chinese")
    font.save(tmp_path / "chinese.ttf")
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "chinese.ttf")
    lettering.typeface.cache_clear()
    yield tmp_path / "chinese.ttf"
    font_manager.fontManager.ttflist = before
    lettering.typeface.cache_clear()


def test_a_font_with_the_characters_is_used_where_there_is_one(chinese_font):
    assert lettering.typeface(f"{CHINESE} [day]") == chinese_font
    assert lettering.drawable(f"{CHINESE} [day]") == f"{CHINESE} [day]"
    assert lettering.typeface("walk") == lettering.DEJAVU


def test_what_no_font_has_is_spelled_out():
    """Two classes never look the same, as two boxes would."""
    assert lettering.drawable("\ufdd0 \ufdd1") == r"\ufdd0 \ufdd1"
    assert lettering.drawable("caf\udce9\n") == r"caf\xe9\n"
    assert all(lettering.drawable(name) == name for name in ("walk [day]", "$x$", "\u00e9", "_idle"))
    assert len({lettering.drawable(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_lines_lose_nothing_and_fit(name):
    broken = lettering.lines(name, 11, 98)
    assert "".join(broken) == lettering.drawable(name)
    assert all(lettering.font(11, line).getlength(line) <= 98 for line in broken if len(line) > 1)
    short = lettering.fitting(name, 11, 98)
    assert lettering.font(11, short).getlength(short) <= 98
    if short != lettering.drawable(name):
        head, tail = short.split("\u2026")
        assert name.startswith(head) and name.endswith(tail) and abs(len(head) - len(tail)) <= 1
    ImageDraw.Draw(Image.new("RGB", (98, 20))).text((0, 0), short, "white", lettering.font(11, short))


def _svg_texts(path: Path) -> str:
    return unicodedata.normalize("NFC", path.read_text(encoding="utf-8"))


def _escaped(name: str) -> str:
    return lettering.drawable(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_an_audit_draws_names_as_they_are(tmp_path):
    """Neither formulas, nor names that matplotlib would leave out of a legend."""
    names = NAMES[:12]  # as many as have a curve
    found = inspect_pictures([np.full((8, 8, 3), level, np.uint8) for level in (9, 90)], 25.0)
    items = [Item(f"{k}.mp4", "all", name, Path(f"{k}.mp4")) for k, name in enumerate(names)]
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        pictures.draw_luma(items, {item.name: found for item in items}, tmp_path / "luma.svg")
    drawn = _svg_texts(tmp_path / "luma.svg")
    assert all(_escaped(part) in drawn for name in names for part in lettering.lines(name, 7, pictures._LEGEND))
    frames = {item.name: np.full((8, 8, 3), 9, np.uint8) for item in items}
    pictures.draw_contact_sheet(pictures.clips_to_show(items), frames, tmp_path / "sheet.png")


def test_a_curve_names_its_twins_as_they_are(tmp_path):
    point = {name: {"top1": 0.5, "interval": [0.4, 0.6]} for name in ("teacher", "student")} | {"luma": 20.0}
    curve = {"recorded": point, "points": [point], "area": {"teacher": 0.5, "student": 0.5}, "chance": 0.1}
    curve["twins"] = [{"name": "by $day$ and $night", **point}]
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        illumination_plot.draw(curve, tmp_path / "curve.svg")
    assert "by $day$ and $night" in _svg_texts(tmp_path / "curve.svg")
