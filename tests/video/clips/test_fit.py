"""The whole frame, or its middle: what is at the border is seen, and flow belongs to what is seen."""

import dataclasses

import numpy as np
import pytest

from lift_flax.predict.live.window import LiveWindow
from lift_flax.video import flow_codes
from lift_flax.video.clips import Preparation, Windows, open_file, read_clips
from lift_flax.video.decode import decode_frames
from tests.support.video_files import write_video

T, SIDE = 5, 32
HOW = Preparation("h264", 256, None, "dis", T, SIDE)
SIZES = {"landscape": (48, 96), "portrait": (96, 48), "square": (64, 64)}  # height, width


def _walker(height: int, width: int) -> np.ndarray:
    """Six frames of a patterned square that moves 3 px right and 2 px down in each, from the upper left corner."""
    rng = np.random.default_rng(0)
    figure = np.kron(rng.integers(120, 256, (6, 6, 3)), np.ones((4, 4, 1)))
    frames = np.full((6, height, width, 3), 60.0)
    for t in range(6):
        frames[t, 2 * t : 2 * t + 24, 3 * t : 3 * t + 24] = figure
    return frames.astype(np.uint8)


@pytest.fixture(scope="module", params=SIZES)
def video(request, tmp_path_factory):
    height, width = SIZES[request.param]
    return write_video(tmp_path_factory.mktemp("fit") / f"{request.param}.mp4", _walker(height, width), crf="4")


def _clip(path, fit: str, **fields):
    (clip,) = read_clips(open_file(path), dataclasses.replace(HOW, fit=fit, **fields), Windows())
    return clip.parts


def test_the_corner_is_seen_where_the_whole_frame_is(video):
    """The figure begins in the corner: cropped frames of a long side lose some of it, the others show all of it."""
    height, width = decode_frames(video).shape[1:3]
    seen = {fit: (_clip(video, fit)["clip"][0] > 100).any(axis=-1).mean() for fit in ("crop", "pad", "squeeze")}
    whole = 24 * 24 / (height * width)
    assert seen["squeeze"] == pytest.approx(whole, abs=0.04)
    assert seen["pad"] == pytest.approx(whole * min(height, width) / max(height, width), abs=0.04)
    if height == width:
        assert seen["crop"] == seen["pad"] == seen["squeeze"]
    else:
        assert seen["crop"] < 0.5 * whole * max(height, width) / min(height, width)


@pytest.mark.parametrize("codec", ["h264", "jpeg", "original"])
def test_borders_are_black_and_do_not_move(video, codec):
    height, width = decode_frames(video).shape[1:3]
    parts = _clip(video, "pad", codec=codec)
    inner = slice(8, 24) if height != width else slice(0, 32)
    rows, columns = (inner, slice(0, 32)) if width > height else (slice(0, 32), inner)
    border = np.ones((SIDE, SIDE), bool)
    border[rows, columns] = False
    assert (parts["clip"][:, border] == 0).all() and (parts["flow"][:, border] == flow_codes.ZERO).all()
    assert parts["clip"][:, rows, columns].min() > 30
    assert parts["clip"].shape == (T, SIDE, SIDE, 3) and parts["flow"].shape == (T, SIDE, SIDE, 2)


def test_flow_shrinks_as_the_picture_does(video):
    """Codes are in pixels of the stored frame where it is cropped; (3, 2) px and of it what is left of either axis."""
    height, width = decode_frames(video).shape[1:3]
    short, long = min(height, width), max(height, width)
    shares = {
        "crop": (1, 1),
        "pad": (short / long, short / long),
        "squeeze": (short / width, short / height),
    }
    for fit, share in shares.items():
        flow = flow_codes.decode(_clip(video, fit)["flow"])
        fastest = np.percentile(flow, 98, axis=(0, 1, 2))
        bound = 0.45 if fit != "crop" or height == width else 3  # which sees a part of it alone
        assert fastest == pytest.approx(np.array([3, 2]) * share, abs=bound), fit


@pytest.mark.parametrize("fit", ["crop", "pad", "squeeze"])
def test_a_stream_sees_what_a_clip_does(video, fit):
    frames, how = decode_frames(video), dataclasses.replace(HOW, fit=fit)
    window = LiveWindow(frames.shape[2], frames.shape[1], how, len(frames), None)
    for frame in frames:
        window.add(frame, None)
    live = window.batch(np.arange(len(frames)))
    clip = _clip(video, fit, num_frames=len(frames))
    for name, bound in (("clip", 2.0), ("flow", 1.0)):  # a stream gets RGB, a file YUV
        assert np.abs(live[name][0].astype(int) - clip[name]).mean() < bound, name


def test_codes_are_shortened():
    codes = np.arange(1, 256, dtype=np.uint8)
    assert flow_codes.shortened(codes, 1.0) is codes
    half = flow_codes.shortened(codes, 0.5)
    np.testing.assert_allclose(flow_codes.decode(half), flow_codes.decode(codes) / 2, atol=0.08)
    mirrored = flow_codes.shortened((256 - codes.astype(int)).astype(np.uint8), 0.5)
    np.testing.assert_array_equal(mirrored, 256 - half.astype(int))
