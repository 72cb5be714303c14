"""Stored optical flow is the motion between native neighbours, in pixels of the stored clip."""

import contextlib
import functools
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data_prep import build, h264
from data_prep.transcode import Encoding, transcode
from lift_flax.data import records
from lift_flax.data.batches import train_batches
from lift_flax.errors import UserError
from lift_flax.video import decode, flow_codes, optical_flow, sampling
from tests.support.containers import damaged_videos
from tests.support.small_config import small_config
from tests.support.video_files import write_video

_STEP = 20 / 127  # px of a code


def _moving(count: int, u: int, v: int, side: int = 96) -> np.ndarray:
    """uint8 [T,side,side,3]: a smooth texture that moves by (u, v) px a frame."""
    reach = side + count * max(abs(u), abs(v))
    y, x = np.meshgrid(np.arange(2 * reach), np.arange(2 * reach), indexing="ij")
    plane = 128 + 40 * np.sin(x / 5) * np.cos(y / 7) + 30 * np.sin((x + 2 * y) / 11)
    at = reach // 2
    frames = [plane[at - t * v : at - t * v + side, at - t * u : at - t * u + side] for t in range(count)]
    return np.stack(frames)[..., None].repeat(3, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_flow_is_the_motion_to_the_next_native_frame(tmp_path: Path, method: str) -> None:
    """Also where only every fifth frame is stored."""
    path = write_video(tmp_path / "clip.mp4", _moving(20, 3, -2))
    clip = transcode(path, Encoding(max_frames=4, flow=method))
    stored = flow_codes.decode(decode.decode_flow(clip.parts["flow"]))[:, 16:-16, 16:-16]  # [4, 64, 64, 2]
    assert stored.shape[0] == clip.num_frames == 4
    np.testing.assert_allclose(np.median(stored, axis=(0, 1, 2)), [3, -2], atol=2 * _STEP)


def test_last_frame_repeats_its_predecessors_flow(tmp_path: Path) -> None:
    frames = np.concatenate([_moving(4, 2, 0), _moving(1, 0, 0)])
    path = write_video(tmp_path / "clip.mp4", frames)
    found = list(optical_flow.codes(functools.partial(decode.iter_frames, path), range(5), 5, (96, 96), "dis"))
    assert len(found) == 5
    np.testing.assert_array_equal(found[4], found[3])
    assert not np.array_equal(found[3], found[2])


def test_still_video_has_no_flow(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", _moving(1, 0, 0).repeat(6, axis=0))
    found = np.stack(
        list(optical_flow.codes(functools.partial(decode.iter_frames, path), range(6), 6, (96, 96), "dis"))
    )
    assert (np.abs(found.astype(int) - flow_codes.ZERO) <= 1).mean() > 0.99


def test_packing_loses_less_than_a_code(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", _moving(12, -4, 1, side=128))
    found = np.stack(
        list(optical_flow.codes(functools.partial(decode.iter_frames, path), range(12), 12, (128, 128), "dis"))
    )
    packed = h264.flow(iter(found), Fraction(30), gop=8)
    read = decode.decode_flow(packed)
    assert read.dtype == np.uint8 and read.shape == found.shape
    assert np.abs(read.astype(int) - found).mean() * _STEP < 0.03  # px
    half = decode.decode_flow(packed, [3, 3, 0], size=(64, 64))
    assert half.shape == (3, 64, 64, 2)
    np.testing.assert_array_equal(half[0], half[1])
    inside = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(np.median(half[0][inside], (0, 1)), np.median(found[3], (0, 1)), atol=1)


@pytest.mark.usefixtures("in_process")
def test_flow_of_odd_originals_has_the_size_of_their_frames(tmp_path: Path) -> None:
    for number, name in enumerate("abab"):
        (tmp_path / "videos" / name).mkdir(parents=True, exist_ok=True)
        frames = _moving(6, 2, 0)[:, :63, :95]
        damaged_videos.encode(tmp_path / "videos" / name / f"{number}.mkv", frames, "ffv1", "yuv444p")
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out"), "--test-share", "0.5"]
    build.main([*flags, "--codec", "original", "--flow"])
    opened = records.open_records(str(tmp_path / "out"))
    config = small_config("tiny,luminous=flow", records=opened.dir)
    batches = train_batches(opened, config, list(opened.index), seed=0, first_step=0)
    with contextlib.closing(batches):
        for _ in range(8):
            batch = next(batches)
            assert batch["clip"].shape == (4, 4, 32, 32, 3) and batch["flow"].shape == (4, 4, 32, 32, 2)


@pytest.mark.parametrize("size", [(42, 40), (96, 64)])
def test_flow_of_a_pair_does_not_depend_on_earlier_ones(size: tuple[int, int]) -> None:
    """Small pictures change OpenCV's DIS for the pictures after them."""
    import cv2

    rng, calculate = np.random.default_rng(0), optical_flow.flow_function("dis")
    before, after, other = (cv2.GaussianBlur(rng.integers(0, 256, size[::-1], np.uint8), (0, 0), 2) for _ in range(3))
    first = calculate(before, after)
    calculate(np.ascontiguousarray(other[:40, :42]), np.ascontiguousarray(before[:40, :42]))
    np.testing.assert_array_equal(calculate(before, after), first)


def test_flow_needs_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        UserError, match=r"optical flow needs OpenCV \(.*\): install it with `pip install -e '.\[prep\]'`"
    ):
        optical_flow.flow_function.__wrapped__("dis")
    monkeypatch.setattr(optical_flow, "flow_function", optical_flow.flow_function.__wrapped__)
    with pytest.raises(UserError, match=r"optical flow needs OpenCV .*, or leave flow out with --no-flow"):
        build._encoding(build.parse_args(["folder", "--videos=videos", "--out=records"]))


def test_real_clip(real_data: Path) -> None:
    """Warping the next frame back by the flow explains it better than no flow does."""
    path = real_data / "decode_clips" / "mmaction2__tests_data_test.mp4"
    indices = sampling.eval_indices(300, 4).tolist()
    frames = functools.partial(decode.iter_frames, path)
    found = flow_codes.decode(np.stack(list(optical_flow.codes(frames, indices, 300, (340, 256), "dis"))))
    y, x = np.meshgrid(np.arange(256), np.arange(340), indexing="ij")
    for index, (u, v) in zip(indices, np.moveaxis(found, -1, 1), strict=True):
        before, after = decode.decode_frames(path, [index, index + 1]).mean(axis=-1)  # [256, 340] each
        rows, columns = np.clip(np.round(y + v), 0, 255).astype(int), np.clip(np.round(x + u), 0, 339).astype(int)
        assert np.abs(before - after[rows, columns]).mean() < np.abs(before - after).mean()
