"""The stored clip has the right frames, in order and addressable, at the right rate, size and colours."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from data_prep.transcode import Encoding, transcode
from lift_flax.video import decode, sampling
from lift_flax.video.inspection import inspect_video
from tests.support.video_files import numbered_frames, read_numbers, write_numbered, write_video


def _key_and_order(data: bytes) -> tuple[list[bool], list[int], list[int]]:
    """Of each packet: is it a keyframe, its presentation time and its decoding time."""
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return ([p.is_keyframe for p in packets], [p.pts for p in packets], [p.dts for p in packets])


def test_long_clip_keeps_the_middles_of_64_segments(tmp_path: Path) -> None:
    clip = transcode(write_numbered(tmp_path / "long.mp4", 200, fps=25), Encoding())
    data = clip.parts["video"]
    assert clip.num_frames == 64
    assert clip.fps == pytest.approx(25 * 64 / 200, rel=1e-3)
    stored = inspect_video(data)
    assert (stored.num_frames, stored.width, stored.height) == (64, 96, 64)
    assert stored.fps == pytest.approx(clip.fps)
    assert read_numbers(decode.decode_frames(data)) == list(sampling.eval_indices(200, 64))
    keys, shown, decoded = _key_and_order(data)
    assert shown == decoded, "B-frames"
    assert set(np.diff(shown)) == {shown[1] - shown[0]}, "the frame rate is constant"
    starts = [index for index, key in enumerate(keys) if key] + [64]
    assert starts[0] == 0 and max(np.diff(starts)) <= 8


@pytest.mark.parametrize(("num_frames", "max_frames", "stored"), [(64, 64, 64), (2, 64, 2), (70, None, 70), (9, 4, 4)])
def test_number_of_stored_frames(tmp_path: Path, num_frames: int, max_frames: int | None, stored: int) -> None:
    clip = transcode(write_numbered(tmp_path / "clip.mp4", num_frames), Encoding(max_frames=max_frames))
    numbers = read_numbers(decode.decode_frames(clip.parts["video"]))
    assert clip.num_frames == len(numbers) == stored
    assert numbers == (list(range(stored)) if stored == num_frames else list(sampling.eval_indices(num_frames, stored)))


@pytest.mark.parametrize(
    ("source", "short_side", "stored"), [((96, 64), 256, (96, 64)), ((96, 64), 32, (48, 32)), ((64, 90), 50, (50, 70))]
)
def test_size_shrinks_to_even_numbers_and_never_grows(
    tmp_path: Path, source: tuple[int, int], short_side: int, stored: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "clip.mp4", numbered_frames(range(3), *source)[:, :, : source[0]])
    info = inspect_video(transcode(path, Encoding(short_side=short_side)).parts["video"])
    assert (info.width, info.height) == stored


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 96, 3), np.uint8)  # flat frames cost nothing at any crf
    path = write_video(tmp_path / "clip.mp4", noise)
    assert transcode(path, Encoding(flow="dis")).parts == transcode(path, Encoding(flow="dis")).parts
    coarse, fine = (transcode(path, Encoding(crf=crf)).parts["video"] for crf in (40, 10))
    assert len(coarse) < len(fine)


@pytest.mark.parametrize("matrix", [1, 5])  # BT.709 and BT.601
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_and_luma_survive(tmp_path: Path, matrix: int, full_range: bool) -> None:
    colour = np.array([200, 60, 30], np.uint8)
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full_range else 1
        frame = av.VideoFrame.from_ndarray(np.tile(colour, (64, 64, 1)), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=2 if full_range else 1)
        for _ in range(2):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = transcode(path, Encoding(crf=10))
    np.testing.assert_allclose(decode.decode_frames(clip.parts["video"])[0, 32, 32].astype(int), colour, atol=4)
    weights = [0.2126, 0.7152, 0.0722] if matrix == 1 else [0.299, 0.587, 0.114]
    assert clip.source.mean_luma == pytest.approx(np.dot(weights, colour), abs=2)
