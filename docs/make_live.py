"""Films the live page:  python docs/make_live.py --workdir=RUN

docs/figures/live.png: the page, answering and having explained an answer.
docs/figures/live.mp4: a few seconds of it, in which the exposure slider takes the light away and gives it back.
RUN is a trained run on night_figures, or the network that comes with lift_flax where none is named.  Its camera is
Chromium's fake one, which plays rendered clips of the street from a seed of their own; nobody real is to be seen.
"""

import argparse
import base64
import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data_prep.night_figures import street  # noqa: E402
from lift_flax.files import replacing  # noqa: E402
from lift_flax.video import encode  # noqa: E402

FOLDER = ROOT / "docs" / "figures"
SEED, ACTIONS = 25, ("Wave", "Pick", "Walk")  # of the clips, by day, and which of them
CLIPS = 22  # the fewest
HEIGHT, WIDTH, CAMERA_FPS = 360, 480, 30  # Chromium plays an .mjpeg at this rate
SIZE = {"width": 1200, "height": 960}
FILM_WIDTH, FILM_FPS, FILM_SECONDS = 960, 10, 8
DARKEST = -8.0  # stops
MOST = {".png": 300_000, ".mp4": 1_500_000}  # bytes
PATIENCE = 300  # s
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
)


def write_camera(path: Path) -> None:
    """Writes what the fake camera plays over and over: JPEGs one after another."""
    plans = {plan.class_name: plan for plan in street.plan_street(SEED, CLIPS)}
    with path.open("wb") as file:
        for name in ACTIONS:
            frames, fps = street.film(plans[name], HEIGHT, WIDTH)
            for moment in np.arange(0, len(frames) / fps, 1 / CAMERA_FPS):
                Image.fromarray(frames[int(moment * fps)]).save(file, "JPEG", quality=95)


@contextlib.contextmanager
def serving(workdir: Path | None) -> Iterator[str]:
    """Starts a server, and gives its address."""
    run = [f"--workdir={workdir}"] if workdir else []
    command = [sys.executable, "-m", "lift_flax.cli", "serve", "--port=0", *run]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None, "it is a pipe"
            for line in server.stdout:
                if found := re.match(r"http://\S+", line):
                    yield found[0]
                    break
            else:
                raise SystemExit("the server has ended before it listened: start it by itself to see why")
        finally:
            server.terminate()


class Screencast:
    """The page as it is painted, from now on: JPEGs with the seconds at which they were."""

    def __init__(self, page: Page):
        self.frames: list[tuple[float, bytes]] = []
        self._session = page.context.new_cdp_session(page)
        self._session.on("Page.screencastFrame", self._painted)
        self._session.send("Page.startScreencast", {"format": "jpeg", "quality": 92, "everyNthFrame": 1})

    def _painted(self, event: dict) -> None:
        self.frames.append((event["metadata"]["timestamp"], base64.b64decode(event["data"])))
        self._session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    def ended(self) -> UInt8[np.ndarray, "T H W 3"]:
        """Ends it; pictures at a constant rate: at each moment the last one that was painted."""
        self._session.detach()
        times = np.array([moment for moment, _ in self.frames])
        moments = np.arange(times[0], times[-1], 1 / FILM_FPS)[: FILM_FPS * FILM_SECONDS]
        shown = np.searchsorted(times, moments, side="right") - 1
        return np.stack([_picture(self.frames[index][1]) for index in shown])


def _picture(jpeg: bytes) -> UInt8[np.ndarray, "H W 3"]:
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    height = 2 * round(image.height * FILM_WIDTH / image.width / 2)
    return np.asarray(image.resize((FILM_WIDTH, height), Image.Resampling.LANCZOS))


def stops_at(share: float) -> float:
    """Where the exposure slider is when this share of the film is over: at 0, at the darkest, at 0 again."""
    return round(2 * DARKEST * float(np.interp(share, (0.15, 0.5, 0.65, 0.85), (0, 1, 1, 0)))) / 2


def filmed(page: Page) -> bytes:
    """The film of the page, an MP4: as it is, darker and darker, lit again."""
    slider, cast, began = page.locator("#stops"), Screencast(page), time.monotonic()
    while (share := (time.monotonic() - began) / FILM_SECONDS) < 1:  # by the clock: a machine may be slow
        slider.fill(f"{stops_at(share):g}")
        page.wait_for_timeout(200)
    frames = encode.rgb_frames(cast.ended())
    return encode.h264(frames, fps=Fraction(FILM_FPS), crf=26, preset="veryslow", mbtree=True, index_first=True)


def shot(page: Page) -> bytes:
    """A picture of the page once it has explained an answer."""
    page.locator("#why").click()
    page.locator("#explained").wait_for(timeout=1000 * PATIENCE)
    page.locator("#why:has-text('Why?')").wait_for(timeout=1000 * PATIENCE)
    page.wait_for_timeout(1000)
    page.evaluate("() => scrollTo(0, 0)")
    image = Image.open(io.BytesIO(page.screenshot(clip={"x": 0, "y": 0, **SIZE}, full_page=True))).convert("RGB")
    target = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
    return target.getvalue()


def main() -> None:
    """Starts a server and a browser, and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, help="folder of a trained run, or a package of one")
    args = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with contextlib.ExitStack() as stack:
        camera = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "camera.mjpeg"
        write_camera(camera)
        address = stack.enter_context(serving(args.workdir))
        playwright = stack.enter_context(sync_playwright())
        arguments = [*ARGUMENTS.split(), f"--use-file-for-fake-video-capture={camera}"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.locator("#start").click()
        page.locator("#bars li").first.wait_for(timeout=1000 * PATIENCE)
        page.wait_for_timeout(20_000)  # until its programs are compiled, and the timeline has something to show
        files = {"live.mp4": filmed(page), "live.png": shot(page)}
        browser.close()
    for name, data in files.items():
        if len(data) > MOST[Path(name).suffix]:
            raise SystemExit(f"{name} has {len(data):,} bytes: at most {MOST[Path(name).suffix]:,} are kept")
        with replacing(FOLDER / name) as part:
            part.write_bytes(data)
        print(f"docs/figures/{name}: {len(data) // 1000} KB")


if __name__ == "__main__":
    main()
