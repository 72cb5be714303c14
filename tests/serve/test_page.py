"""The live page in a real browser, with a fake camera that shows a clip."""

import contextlib
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from lift_flax.video.decode import decode_frames
from tests.conftest import moving_bar
from tests.report.test_browser import ARGUMENTS, BEYOND, CHROMIUM
from tests.support.live_tools import LiveServer, live_server
from tests.support.video_files import write_video

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
SLOW_LINE = """async () => {
  const { Camera } = await import("/page/camera.js");
  const line = { ready: true, waiting: 0, send() {} };
  const ways = [];
  const camera = new Camera(document.getElementById("camera"), line, (way) => ways.push(way));
  camera.raw = false;
  await camera.send(0);
  line.waiting = 1e9;
  for (let i = 0; i < 60; i += 1) await camera.send(i);
  line.waiting = 0;
  await camera.send(60);
  return ways;
}"""  # how frames travel at first, and after a second in which the line took none
PATIENCE = 90_000  # ms
_CAMERA = "--use-fake-ui-for-media-stream --use-fake-device-for-media-stream --use-file-for-fake-video-capture="


def _camera_file(frames: np.ndarray, folder: Path) -> Path:
    """A film for Chromium's fake camera: JPEGs, one after the other."""
    path = folder / "camera.mjpeg"
    path.write_bytes(b"".join(simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=95) for frame in frames))
    return path


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Its camera shows a moving bar."""
    frames = np.repeat(np.repeat(moving_bar(0, 1, 60), 4, axis=1), 4, axis=2)
    with _filming(playwright, frames, tmp_path_factory.mktemp("camera")) as started:
        yield started


@contextlib.contextmanager
def _filming(playwright: Playwright, frames: np.ndarray, folder: Path) -> Iterator[Browser]:
    arguments = [*ARGUMENTS.split(), *(_CAMERA + str(_camera_file(frames, folder))).split()]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    yield browser
    browser.close()


class Visit:
    """The page of a server, open in a browser; what it says and asks for is kept."""

    def __init__(self, browser: Browser, server: LiveServer, width: int = 1280, scheme: str = "light"):
        self.page: Page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.goto(f"http://127.0.0.1:{server.port}/" + (f"?token={server.token}" if server.token else ""))

    def start(self) -> None:
        self.page.get_by_role("button", name="Start the camera").click()
        self.page.wait_for_selector("#label[data-label]", timeout=PATIENCE)

    def brightness(self, canvas: str) -> float:
        return self.page.evaluate(
            """(id) => {
              const shown = document.getElementById(id);
              const copy = new OffscreenCanvas(shown.width, shown.height);
              const canvas = copy.getContext("2d", { willReadFrequently: true });
              canvas.drawImage(shown, 0, 0);
              const { data } = canvas.getImageData(0, 0, shown.width, shown.height);
              return data.filter((_, i) => i % 4 < 3).reduce((sum, value) => sum + value, 0) / data.length;
            }""",
            canvas,
        )

    def shares(self) -> dict[str, str]:
        items = self.page.locator("#bars li").all()
        return {item.locator("span").first.inner_text(): item.locator(".share").inner_text() for item in items}

    def close(self) -> None:
        """Nothing left the machine, and the console is silent."""
        assert self.said == []
        hosts = {re.sub(r"^\w+://([^/]+).*", r"\1", url) for url in self.asked if not url.startswith("blob:")}
        assert len(hosts) == 1 and next(iter(hosts)).startswith("127.0.0.1:"), self.asked
        self.page.close()


@pytest.mark.slow
def test_the_page_answers_and_darkens(browser: Browser, server: LiveServer):
    visit = Visit(browser, server)
    expect(visit.page.locator("#about")).to_contain_text("3 actions, from 4 frames of 32 px", timeout=PATIENCE)
    visit.start()
    assert set(visit.shares()) == {"down", "right", "still"}
    expect(visit.page.locator("#travel")).to_contain_text("without loss")
    before, shares = visit.brightness("seen-frame"), visit.shares()
    visit.page.locator("#stops").fill("-6")
    expect(visit.page.locator("#filmed-caption")).to_have_text("as filmed with −6 stops", timeout=PATIENCE)
    expect(visit.page.locator("#filmed")).to_be_visible()
    visit.page.wait_for_timeout(1500)  # until the window is dark, too
    assert visit.brightness("seen-frame") < before / 3
    assert visit.shares() != shares
    visit.close()


@pytest.mark.slow
def test_a_person_in_the_dark(playwright: Playwright, real_data: Path, tmp_path: Path):
    """A clip of ARID in front of the camera, and the network that comes with lift_flax."""
    frames = decode_frames(real_data / "arid_subset" / "clips" / "Walk" / "Walk_10_1.mp4")
    with (
        _filming(playwright, frames, tmp_path) as browser,
        live_server(Path("shipped"), tmp_path / "log") as server,
    ):
        visit = Visit(browser, server)
        visit.start()
        assert visit.page.locator("#label").get_attribute("data-label") in visit.shares()
        before, shares = visit.brightness("seen-frame"), visit.shares()
        visit.page.locator("#stops").fill("-6")
        expect(visit.page.locator("#filmed-caption")).to_have_text("as filmed with −6 stops", timeout=PATIENCE)
        visit.page.wait_for_timeout(3000)  # until the window is darker, too
        assert visit.brightness("seen-frame") < before
        assert visit.shares() != shares
        visit.page.get_by_role("button", name="Why?").click()
        visit.page.wait_for_selector("#explained:not([hidden]) img[src^='blob:']", timeout=PATIENCE)
        visit.close()


@pytest.mark.slow
def test_everything_on_the_page(browser: Browser, server: LiveServer, tmp_path: Path):
    visit = Visit(browser, server)
    page = visit.page
    visit.start()
    page.get_by_role("button", name="Why?").click()
    page.wait_for_selector("#explained:not([hidden]) img[src^='blob:']", timeout=PATIENCE)
    assert page.locator("#explained-picture").evaluate("(image) => image.naturalWidth") > 400
    page.get_by_label("teacher").check()
    page.wait_for_timeout(3000)
    page.get_by_label("“Unsure” below").fill("100")
    expect(page.locator("#label")).to_have_text("unsure", timeout=PATIENCE)
    page.get_by_label("“Unsure” below").fill("0")
    expect(page.locator("#label")).not_to_have_text("unsure", timeout=PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.reader(Path(download.value.path()).read_text().splitlines()))
    assert rows[0][:5] == ["time", "label", "probability", "network", "stops"] and len(rows) > 10
    assert {"student", "teacher"} <= {row[3] for row in rows}
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    assert len(json.loads(Path(download.value.path()).read_text())["answers"]) >= len(rows) - 1
    video = write_video(tmp_path / "bar.mp4", moving_bar(1, 5, 60))
    page.set_input_files("#file", video)
    page.get_by_role("button", name="Show its timeline").click()
    page.wait_for_selector("#player:not([hidden])", timeout=PATIENCE)
    page.locator("#playing").evaluate("(video) => { video.currentTime = 1; }")
    expect(page.locator("#playing-label")).to_contain_text("0:01.0", timeout=PATIENCE)
    assert page.locator("#playing-spans li").count() >= 1
    page.set_input_files("#file", files=[{"name": "no.mp4", "mimeType": "video/mp4", "buffer": b"hello"}])
    page.get_by_role("button", name="Show its timeline").click()
    expect(page.locator("#upload-state")).to_contain_text("no.mp4 cannot be used: not a video", timeout=PATIENCE)
    visit.said[:] = [line for line in visit.said if "422" not in line]  # the browser names the answer of the bad file
    visit.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_is_accessible(browser: Browser, server: LiveServer, tmp_path: Path, scheme):
    visit = Visit(browser, server, width=360, scheme=scheme)
    visit.start()
    visit.page.wait_for_timeout(500)
    assert visit.page.evaluate("() => document.documentElement.scrollWidth") == 360
    assert visit.page.evaluate(BEYOND.strip()) == []
    visit.page.screenshot(path=tmp_path / "phone.png", full_page=True)
    found = Axe().run(visit.page)
    serious = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    assert serious == [], [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious]
    visit.page.keyboard.press("Tab")
    reached = set()
    for _ in range(30):
        reached.add(visit.page.evaluate("() => document.activeElement.id || document.activeElement.value"))
        visit.page.keyboard.press("Tab")
    assert {"start", "stops", "threshold", "smooth", "why", "as-csv", "file"} <= reached
    visit.close()


@pytest.mark.slow
def test_the_page_finds_a_server_again(browser: Browser, run: Path, tmp_path: Path):
    with live_server(run, tmp_path / "log") as server:
        visit = Visit(browser, server)
        visit.start()
        server.process.terminate()
        server.process.wait(20)
        notice = visit.page.locator("#notice")
        expect(notice).to_contain_text("No connection to the server: trying again", timeout=PATIENCE)
    with live_server(run, tmp_path / "again", f"--port={server.port}"):
        expect(notice).to_be_hidden(timeout=PATIENCE)
        visit.page.locator("#label").evaluate("(label) => { delete label.dataset.label; }")
        visit.page.wait_for_selector("#label[data-label]", timeout=PATIENCE)
    visit.page.close()


@pytest.mark.slow
def test_frames_of_others_travel_as_webp(browser: Browser, run: Path, tmp_path: Path):
    with live_server(run, tmp_path / "log", "--host=0.0.0.0") as server:
        visit = Visit(browser, server)
        assert "token" not in visit.page.url
        visit.start()
        expect(visit.page.locator("#travel")).to_contain_text("WebP without loss")
        visit.page.reload()
        visit.start()
        assert visit.page.evaluate(SLOW_LINE) == ["whole", "webp"]
        visit.close()
        stranger = browser.new_page()
        stranger.goto(f"http://127.0.0.1:{server.port}/?token=wrong")
        expect(stranger.locator("#notice")).to_have_text(
            "the token is missing or wrong: open the address that the server printed.", timeout=PATIENCE
        )
        stranger.close()
