"""A file as the camera of a server: it plays at its own pace, over and over, whatever it holds."""

import threading
import time
from fractions import Fraction
from pathlib import Path

import av

from lift_flax.serve.visitors.camera_feed import CameraFeed
from lift_flax.serve.visitors.visitor import Offered
from tests.conftest import moving_bar
from tests.support.video_files import write_video


def _shown(path: Path, count: int) -> list[float]:
    """When the first `count` frames of a file were given out; fails after ten seconds."""
    moments: list[float] = []
    enough = threading.Event()

    def take(_: Offered) -> None:
        moments.append(time.monotonic())
        if len(moments) == count:
            enough.set()

    feed = CameraFeed(str(path))
    feed.subscribe(feed, take)
    feed.start()
    try:
        assert enough.wait(10), moments
    finally:
        feed.close()
    return moments[:count]


def test_a_picture_is_no_busy_loop(tmp_path: Path):
    moments = _shown(write_video(tmp_path / "one.mp4", moving_bar(0, 1, 1)), 6)
    assert moments[-1] - moments[0] >= 5 * 0.04


def test_a_long_gap_is_passed_over(tmp_path: Path):
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for moment, picture in zip((0, 1, 3600_000), moving_bar(0, 1, 3), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _shown(path, 4)  # the third comes after an hour, and the fourth begins it anew
