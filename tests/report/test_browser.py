"""The report of a real run in a real browser: it renders, its films play, and it asks for nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from lift_flax.evaluate import illumination
from lift_flax.report.page import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
RECORDED = {  # what `evaluate` adds to a curve
    "num_examples": 6,
    "views": "1x1",
    "recorded": {"luma": 21.0, "student": {"top1": 0.87}, "teacher": {"top1": 0.86}},
}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
GROUNDS = {"light": "rgb(250, 249, 246)", "dark": "rgb(21, 23, 26)"}

# Plays every film, and gives [width, height, brightest value of a pixel], or what is wrong with it.
FILMS = """async () => Promise.all([...document.querySelectorAll("video")].map(async (video) => {
  const shown = new Promise((done) => video.requestVideoFrameCallback(done));
  await video.play();
  await Promise.race([shown, new Promise((done) => setTimeout(done, 20000))]);
  if (video.error || video.readyState < 2 || !video.videoWidth) return `no frames: ${video.error?.message}`;
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext("2d");
  canvas.drawImage(video, 0, 0);
  video.pause();
  const pixels = canvas.getImageData(0, 0, video.videoWidth, video.videoHeight).data;
  const colours = pixels.filter((_, i) => i % 4 < 3);
  return [video.videoWidth, video.videoHeight, colours.reduce((most, value) => Math.max(most, value), 0)];
}))"""
POSTERS = """async () => Promise.all([...document.querySelectorAll("video")].map(async (video) => {
  const image = new Image();
  image.src = video.poster;
  await image.decode();
  return [image.naturalWidth, image.naturalHeight];
}))"""
SECTIONS = """() => Object.fromEntries([...document.querySelectorAll("section")].map(
  (section) => [section.id, section.getBoundingClientRect().height]))"""
BEYOND = """() => [...document.body.querySelectorAll("*")].filter(
  (element) => element.getBoundingClientRect().right > innerWidth + 1).map((element) => element.outerHTML)"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def path(run, tmp_path_factory) -> Path:
    """report.html of a run that was scored in other light as well."""
    workdir = tmp_path_factory.mktemp("reported") / "workdir"
    shutil.copytree(run, workdir)

    def score(light):
        scores = {"top1": 0.5, "interval": [0.3, 0.7]}
        return {"luma": 20 * light.camera.exposure, "teacher": scores, "student": scores}

    found = {**illumination.curve(score), "twins": [], **RECORDED}
    (workdir / "illumination.json").write_text(json.dumps(found))
    return write_page(workdir)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield browser
        browser.close()


def _open(browser: Browser, path: Path, size: str, scheme: str) -> tuple[Page, list[str], list[str]]:
    """(the page, what its console says, what it asks for)"""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, said, asked


def _parameters(workdir: Path) -> tuple[str, str, str]:
    """The row of the page for the sizes of student and teacher."""
    training = json.loads((workdir / "results.json").read_text())["training"]
    return ("parameters", *(f"{training[name]['parameters']:,}" for name in ("student", "teacher")))


@pytest.mark.parametrize(("size", "scheme"), [
    ("desktop", "light"),
    *(pytest.param(*both, marks=pytest.mark.slow) for both in
      (("desktop", "dark"), ("phone", "light"), ("phone", "dark"))),
])  # fmt: skip
def test_page_in_a_browser(browser, path, tmp_path, size, scheme):
    page, said, asked = _open(browser, path, size, scheme)
    films = page.evaluate(FILMS)
    assert len(films) == 6, "test clips"
    assert all(film[:2] == [320, 320] and film[2] > 60 for film in films), films
    assert page.evaluate(POSTERS) == [[448, 448]] * 6
    heights = page.evaluate(SECTIONS)
    assert list(heights) == ["summary", "clips", "classes", "confusion", "brightness", "curves", "setup"]
    assert min(heights.values()) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.evaluate(BEYOND) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[scheme]

    for facts in _parameters(path.parent), ("checkpoint used", "step 9", "step 9"), ("to train on", "18"):
        assert page.get_by_role("row", name=" ".join(facts), exact=True).is_visible()
    page.locator("summary").first.click()
    assert page.get_by_text("augment.rain_slant").is_visible()
    assert page.evaluate(BEYOND) == []
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == SIZES[size][0] and picture.height > 3000
        pixels = np.asarray(picture.convert("L"), np.float32)
    bands = np.array_split(pixels, 10)
    assert min(band.std() for band in bands) > 5, "a part of the page is blank"
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    page.close()
