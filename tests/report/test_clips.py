"""The clips of a report: which are chosen, what their films show, and what is written on their stills."""

import base64
import io

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from lift_flax.report import film
from lift_flax.report.clips import choose_clips
from lift_flax.video import flow_codes
from tests.report.page_tools import build, names


def test_flow_is_drawn_in_colours():
    codes = flow_codes.encode(np.array([[[[10.0, 0.0], [-10.0, 0.0], [0.0, 0.0], [0.0, 5.0]]]]))
    red, cyan, black, green = film.colour_flow(codes)[0, 0]
    assert red.tolist() == [255, 0, 0] and black.tolist() == [0, 0, 0]
    assert cyan[0] == 0 and cyan[1:].min() > 250 and 100 < green[1] < 140 and green[2] == 0


def test_films_show_the_clip(tmp_path):
    """Dark on the left and lifted on the right, all of its frames."""
    _, page, *_ = build(tmp_path / "run", names(2), films=True)
    films = [link for link in page.links if link.startswith("data:video/mp4;base64,")]
    assert len(films) == page.tags.count("video") == 4
    for address in films:
        with av.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
            assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert frames.shape == (12, film.SIDE, 2 * film.SIDE, 3)
        dark, lifted = frames[:, :, : film.SIDE].mean(), frames[:, :, film.SIDE :].mean()
        assert 25 < dark < 35 and 60 < lifted < 90  # 0 to 59, and that to the power 1 / 1.8
    assert len(set(films)) == 4
    assert "Attention is not shown" in page.text and "holds no trained student yet" in page.text


def test_stills_say_what_they_show(tmp_path, monkeypatch):
    """Which clip, its class, the student's answer, and which frames of how many."""
    written: list[str] = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda *args, **how: (written.append(args[2]), draw(*args, **how))[1]
    )
    _, page, _, asked = build(tmp_path / "run", names(2), accuracy=1.1)
    assert len(asked) == 4
    for clip in asked:
        assert f"clip {clip}" in written
    answers = [text for text in written if text.startswith("true class: ")]
    assert len(answers) == 4
    for label in (0, 1):
        assert sum(f"true class: action {label}; student: action {label} " in text for text in answers) == 2
    assert all(text.endswith(" %") for text in answers)
    assert [written.count(f"frame {t} of 12") for t in (2, 5, 8, 11)] == [4] * 4
    assert written.count("as filmed") == written.count("gamma-corrected") == 4
    posters = [link for link in page.links if link.startswith("data:image/jpeg")]
    for poster in posters:
        with Image.open(io.BytesIO(base64.b64decode(poster.split(",")[1]))) as image:
            assert image.size == (448, 224)
            assert np.asarray(image)[:32, :200].max() > 150, "no text above the frames"


def test_choose_clips_takes_the_surest_of_many_classes():
    labels = np.repeat(np.arange(8), 4)
    shares = np.full((32, 8), 0.01)
    for i, label in enumerate(labels):
        shares[i, (label + (i % 4 == 3)) % 8] = 0.5 + i / 100  # the fourth clip of each class is a mistake
    right, wrong = choose_clips(labels, shares)
    assert right == [30, 26, 22, 18, 14, 10]  # the surest of each class, though 29 is surer than 26
    assert wrong == [31, 27, 23, 19, 15, 11]


@pytest.mark.parametrize("wrong", [0, 1, 5])
def test_choose_clips_takes_what_there_is(wrong):
    labels = np.zeros(5, int)
    shares = np.where(np.arange(5)[:, None] < wrong, [0.2, 0.8], [0.8, 0.2])
    assert choose_clips(labels, shares) == (list(range(wrong, 5)), list(range(wrong)))
