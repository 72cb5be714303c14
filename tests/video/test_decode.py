"""Decoding gives exactly the frames that were asked for, and says in a few words why a file cannot be used."""

import gc
import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from PIL import Image

from lift_flax.video import decode, sampling, scaling
from lift_flax.video.inspection import inspect_video
from tests.support.video_files import numbered_frames, read_numbers, write_numbered, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames with B-frames, 96x64, 25 fps."""
    return write_numbered(tmp_path_factory.mktemp("decode") / "a:b.mp4", 100, fps=25)


@pytest.mark.parametrize("indices", [[0], [99], [3, 4, 5], [97, 2, 50, 2, 2, 0], list(range(0, 100, 7))])
def test_frames_are_those_at_the_indices(video: Path, indices: list[int]) -> None:
    for source in (video, str(video), video.read_bytes()):
        frames = decode.decode_frames(source, indices)
        assert frames.dtype == np.uint8 and frames.shape == (len(indices), 64, 96, 3)
        assert read_numbers(frames) == indices
    assert np.abs(frames.astype(int) - numbered_frames(indices)).mean() < 3


def test_all_frames_in_order(video: Path) -> None:
    assert read_numbers(decode.decode_frames(video)) == list(range(100))


@pytest.mark.parametrize(("short_side", "shape"), [(32, (32, 48)), (64, (64, 96)), (63, (63, 94)), (128, (128, 192))])
def test_short_side(video: Path, short_side: int, shape: tuple[int, int]) -> None:
    frames = decode.decode_frames(video, [7, 91], short_side=short_side)
    assert frames.shape == (2, *shape, 3)
    assert read_numbers(frames) == [7, 91]


def test_resize_averages_areas(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 1), np.uint8).repeat(3, axis=-1)
    path = write_video(tmp_path / "noise.mp4", noise, qp="0")
    native, small = decode.decode_frames(path), decode.decode_frames(path, short_side=16)
    mean = native.reshape(1, 16, 4, 16, 4, 3).mean((2, 4))  # [T,64,64,3] -> [T,16,16,3]
    assert np.abs(small - mean).max() < 4


def test_frames_are_let_go_of_at_once(tmp_path: Path) -> None:
    """Without the garbage collector, which may not come for a long time: ten times 9 MiB of frames."""
    frames = np.random.default_rng(0).integers(0, 255, (60, 256, 384, 3), np.uint8)
    path = write_video(tmp_path / "video.mp4", frames, preset="ultrafast")
    decode.count_frames(path)
    inspect_video(path)

    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    gc.collect()
    gc.disable()
    try:
        before = megabytes()
        for _ in range(5):
            inspect_video(path)
            assert sum(1 for _ in decode.iter_frames(path)) == 60
        assert megabytes() - before < 20
    finally:
        gc.enable()


def test_inspection_counts_and_measures(video: Path) -> None:
    info = inspect_video(video)
    assert (info.num_frames, info.fps, info.width, info.height, info.notes) == (100, 25.0, 96, 64, ())


def test_asking_past_the_end(video: Path) -> None:
    with pytest.raises(decode.VideoError, match="has 100 frames, frame 100 is missing"):
        decode.decode_frames(video, [0, 100])


@pytest.mark.parametrize("indices", [[], [-1]])
def test_indices_that_make_no_sense(video: Path, indices: list[int]) -> None:
    with pytest.raises(ValueError, match="indices"):
        decode.decode_frames(video, indices)


def test_decoding_stops_at_the_last_wanted_frame(tmp_path: Path) -> None:
    """The tail is cut off: early frames still come, and only reaching for the tail fails."""
    frames = np.random.default_rng(0).integers(0, 256, (60, 64, 96, 3), np.uint8)
    data = write_video(tmp_path / "whole.mp4", frames, index_first=True).read_bytes()
    cut = data[: int(0.63 * len(data))]
    assert decode.decode_frames(cut, [0, 5]).shape == (2, 64, 96, 3)
    with pytest.raises(decode.VideoError, match=r"damaged: breaks off after \d+ frames"):
        decode.decode_frames(cut, [59])


def _audio_only(path: Path, codec: Literal["aac", "libmp3lame"] = "aac") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _with_cover(path: Path) -> Path:
    """An MP3 whose ID3 tag holds a picture."""
    _audio_only(path, "libmp3lame")
    cover = io.BytesIO()
    Image.new("RGB", (32, 32)).save(cover, "PNG")
    picture = b"\0image/png\0\x03\0" + cover.getvalue()
    tag = b"APIC" + struct.pack(">I2x", len(picture)) + picture
    assert len(tag) < 1 << 14
    header = b"ID3\x03\0\0" + bytes([0, 0, len(tag) >> 7, len(tag) & 127])
    path.write_bytes(header + tag + path.read_bytes())
    return path


def _animation(path: Path, count: int = 3) -> Path:
    first, *others = [Image.fromarray(frame) for frame in numbered_frames(range(count))]
    first.save(path, save_all=True, append_images=others)
    return path


def test_an_animated_gif_is_a_video(tmp_path: Path) -> None:
    assert inspect_video(_animation(tmp_path / "a.gif")).num_frames == 3


def test_reasons_why_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    whole = write_numbered(tmp_path / "whole.mp4")
    (tmp_path / "half.mp4").write_bytes(whole.read_bytes()[:1000])
    reasons = {
        tmp_path / "zero.mp4": "empty (zero bytes)",
        b"": "empty (zero bytes)",
        tmp_path / "text.mp4": "not a video",
        b"garbage" * 700: "not a video",
        tmp_path / "half.mp4": "not a video",
        _audio_only(tmp_path / "sound.mp4"): "no video stream",
        _with_cover(tmp_path / "song.mp3"): "no video, only a cover picture",
        _animation(tmp_path / "a.webp"): "an animated WebP, which FFmpeg cannot read: save it as a GIF",
        _animation(tmp_path / "b.webp").read_bytes(): "an animated WebP, which FFmpeg cannot read: save it as a GIF",
        _animation(tmp_path / "one.webp", 1): "only one frame: it is a picture",
        tmp_path / "absent.mp4": "no such file or directory",
        tmp_path: "is a directory",
    }
    for source, reason in reasons.items():
        with pytest.raises(decode.VideoError) as caught:
            inspect_video(source)
        assert str(caught.value).startswith(reason)
        assert "\n" not in str(caught.value)


def test_levels_do_not_depend_on_the_width(tmp_path: Path) -> None:
    """swscale has a rougher way to RGB for even widths: frames must not get darker by it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 60, (2, 24, 32, 3), np.uint8)
    video = write_video(tmp_path / "dark.mp4", coarse.repeat(10, axis=1).repeat(10, axis=2))
    means = [decode.decode_frames(video, short_side=side).mean() for side in (None, 240, 223, 224, 225, 226)]
    assert np.ptp(means) < 0.2 and means[0] == pytest.approx(coarse.mean(), abs=0.5)


def test_files_are_closed_on_every_way_out(video: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        decode.decode_frames(video, [1])
        next(iter(decode.iter_frames(video)))
        for bad in ((tmp_path / "text.mp4", [0]), (video, [1000])):
            with pytest.raises(decode.VideoError):
                decode.decode_frames(*bad)
    assert len(os.listdir("/proc/self/fd")) == before


def test_workers_load_neither_jax_nor_tfds() -> None:
    code = (
        "import sys, lift_flax.video.decode, data_prep.build;"
        "assert not {'jax', 'flax', 'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_real_clips(real_data: Path) -> None:
    """The frames at chosen indices are the same as those of a plain full decode."""
    for path in sorted((real_data / "decode_clips").iterdir()):
        indices = sampling.eval_indices(inspect_video(path).num_frames, 5)
        frames = decode.decode_frames(path, indices)
        with av.open(str(path)) as container:
            exact = {"format": "rgb24", "interpolation": scaling.EXACT_AREA}
            plain = [frame.to_ndarray(**exact) for i, frame in enumerate(container.decode(video=0)) if i in indices]
        np.testing.assert_array_less(np.abs(frames.astype(int) - np.stack(plain)).mean(), 1.0)


def test_a_file_that_names_others_is_no_video(tmp_path, tiny_videos):
    """A stranger's file must not make this machine read its own."""
    listed = tmp_path / "list.mp4"
    listed.write_text(f"ffconcat version 1.0\nfile '{tiny_videos['.mp4'][0]}'\n")
    with pytest.raises(decode.VideoError, match="not a video"):
        list(decode.iter_frames(listed))
    with pytest.raises(decode.VideoError, match="not a video"):
        list(decode.iter_frames(listed.read_bytes()))
