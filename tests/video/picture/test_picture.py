"""Frames look as they were filmed, whatever matrix, curve, depth and orientation their file names."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from PIL import Image

from lift_flax.video import decode, scaling
from lift_flax.video.inspection import coder_errors, inspect_video
from lift_flax.video.picture import hdr, matrices
from tests.support.containers import damaged_videos
from tests.support.containers.formats import Format, write
from tests.support.video_files import numbered_frames, read_numbers

TO_2020 = np.array(  # linear RGB of BT.709 to that of BT.2020 (ITU-R BT.2087)
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


def _scene() -> np.ndarray:
    """A dark scene with a lamp, uint8 [64, 96, 3]."""
    scene = np.random.default_rng(0).normal(28, 10, (8, 12, 3)).clip(2, 255).repeat(8, 0).repeat(8, 1)
    scene[16:32, 40:64] = (200, 180, 120)
    return scene.astype(np.uint8)


def test_every_matrix_is_converted_or_named() -> None:
    """Numbers 0 to 17 of ITU-T H.273, and some that are reserved."""
    refused = {}
    for matrix in range(21):
        frame = av.VideoFrame.from_ndarray(_scene(), format="rgb24").reformat(format="yuv420p")
        frame.colorspace = matrix
        note = matrices.note(frame)
        try:
            shown = scaling.rgb(decode.upright(frame), (96, 64), VideoReformatter())
        except decode.VideoError as error:
            refused[matrix] = str(error)
            continue
        assert shown.shape == (64, 96, 3)
        assert ("rare colour matrix" in note) == (matrix in (3, 8, 10, 12, 13, 18, 19, 20)), matrix
    assert refused.keys() == {11, 14, 15, 16, 17}
    assert refused[14] == "cannot be processed: colour matrix ICtCp"


def test_files_of_a_rare_matrix(tmp_path: Path) -> None:
    """BT.2020 with constant luminance and YCgCo are read with a note, ICtCp is refused with the reason."""
    for matrix in (8, 10):
        path = write(tmp_path / f"{matrix}.mp4", Format(), header={"colorspace": matrix}, count=4)
        assert any("rare colour matrix" in note for note in inspect_video(path).notes)
        assert read_numbers(decode.decode_frames(path)) == list(range(4))
    with pytest.raises(decode.VideoError, match="^cannot be processed: colour matrix ICtCp$"):
        inspect_video(write(tmp_path / "14.mp4", Format(), header={"colorspace": 14}, count=4))


@pytest.mark.parametrize("range_", [ColorRange.MPEG, ColorRange.JPEG])
def test_ycgco_is_undone(range_: ColorRange) -> None:
    """Against its definition: Y = (R + 2G + B) / 4, Cg = (2G - R - B) / 4, Co = (R - B) / 2."""
    scene = _scene()
    r, g, b = np.moveaxis(scene / 255, -1, 0)
    black, luma, chroma = (16, 219, 224) if range_ == ColorRange.MPEG else (0, 255, 255)
    planes = [black + luma * (r + 2 * g + b) / 4, 128 + chroma * (2 * g - r - b) / 4, 128 + chroma * (r - b) / 2]
    frame = av.VideoFrame.from_ndarray(np.round(planes).clip(0, 255).astype(np.uint8), format="yuv444p")
    frame.colorspace, frame.color_range = 8, range_
    shown = scaling.rgb(decode.upright(frame), (96, 64), VideoReformatter())
    assert np.abs(shown.astype(int) - scene).max() <= 3
    assert frame.colorspace == 8  # a decoder may show it again


def test_a_matrix_without_a_meaning_is_no_matrix() -> None:
    frame = av.VideoFrame.from_ndarray(_scene(), format="rgb24").reformat(format="yuv420p")
    frame.colorspace = 3
    assert np.abs(scaling.rgb(decode.upright(frame), (96, 64), VideoReformatter()).astype(int) - _scene()).mean() < 3


def test_a_matrix_derived_from_the_primaries() -> None:
    frame = av.VideoFrame.from_ndarray(_scene(), format="rgb24").reformat(format="yuv444p")
    for primaries, matrix in ((1, 1), (9, 9), (6, 6), (2, 1)):
        frame.colorspace, frame.color_primaries = 12, primaries
        readable = matrices.convertible(frame)
        assert readable is not None and readable.colorspace == matrix


@pytest.mark.parametrize("curve", ["PQ", "HLG"])
def test_hdr_has_the_brightness_of_sdr(curve: str) -> None:
    """A scene of an SDR display with white at 203 cd/m2, coded as HDR and read again: the levels of SDR."""
    scene = _scene()
    frame = _hdr(scene, curve)
    pictures = {
        "rgb": scaling.rgb(frame, (96, 64), VideoReformatter()),
        "stored": scaling.rgb(scaling.stored_frame(frame, (96, 64), VideoReformatter()), (96, 64), VideoReformatter()),
    }
    frame.color_trc = 2
    as_it_is = scaling.rgb(frame, (96, 64), VideoReformatter())
    mapped = pictures["rgb"].mean()
    print(f"{curve}: mean {as_it_is.mean():.0f} as it is, {mapped:.0f} mapped, {scene.mean():.0f} in SDR")
    for name, picture in pictures.items():
        assert picture.mean() == pytest.approx(scene.mean(), abs=0.5), name
        assert np.abs(picture.astype(int) - scene).mean() < 3, name


def test_hdr_files_are_read_alike_and_noted(tmp_path: Path) -> None:
    """Levels of 10 bits that mean other light by each curve, also where a phone was turned."""
    lumas, frames = {}, np.repeat(_scene()[None], 4, axis=0)
    for curve, header in (("PQ", 16), ("HLG", 18)):
        tags = {"colorspace": 9, "color_primaries": 9, "color_trc": header}
        path = write(tmp_path / f"{curve}.mp4", Format(pix_fmt="yuv420p10le"), frames, header=tags)
        info = inspect_video(path)
        assert f"HDR: {curve}, mapped to SDR" in info.notes
        upright = decode.decode_frames(path)
        turned = tmp_path / f"turned-{curve}.mp4"
        turned.write_bytes(damaged_videos.turned(path, "90"))
        assert np.abs(np.rot90(decode.decode_frames(turned), 1, axes=(1, 2)).astype(int) - upright).mean() < 2
        lumas[curve] = info.mean_luma
        assert lumas[curve] == pytest.approx((upright @ [0.299, 0.587, 0.114]).mean(), abs=1.5)
    assert lumas["PQ"] < 0.8 * lumas["HLG"]  # the same levels are less light in PQ


def test_black_white_and_beyond() -> None:
    frame = _hdr(_scene(), "PQ")
    levels = np.round(65535 * _pq(np.array([0, 1, 100, 203, 1000.0])))
    mapped = hdr.to_sdr(np.repeat(levels[None, :, None], 3, axis=2).astype(np.uint16), frame)
    expected = np.round(255 * (np.array([0, 1, 100, 203, 203]) / 203) ** (1 / 2.4))
    assert np.abs(mapped[0, :, 1].astype(int) - expected).max() <= 1


def test_pixels_of_a_thermal_camera_are_noted(tmp_path: Path) -> None:
    """14 bits of a sensor in 16: little of the range is used, and a note says how little."""
    with av.open(str(tmp_path / "thermal.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=9)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "gray16le"
        for t in range(6):
            heat = np.linspace(7000, 9000, 96 * 64).reshape(64, 96) + 10 * t
            out.mux(stream.encode(av.VideoFrame.from_ndarray(heat.astype(np.uint16), format="gray16le")))
        out.mux(stream.encode(None))
    notes = inspect_video(tmp_path / "thermal.mkv").notes
    assert "more than 8 bits: 16 a channel, scaled to 8; they fill 9 of its 256 levels" in notes


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_motion_jpeg_of_a_camera_is_upright_by_its_exif(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "the maker of a camera", orientation
    path, frames = tmp_path / "camera.avi", numbered_frames(range(4))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for index, frame in enumerate(np.rot90(frames, turns, axes=(1, 2))):
            picture = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(frame)).save(picture, "JPEG", exif=exif, quality=95)
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 10)
            container.mux(packet)
    with coder_errors():
        found = inspect_video(path)
    assert (found.width, found.height) == (96, 64)
    assert read_numbers(decode.decode_frames(path)) == [0, 1, 2, 3]


def test_what_a_coder_does_not_support_is_about_the_video() -> None:
    """An OSError of FFmpeg's own; one of the system passes."""
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.colorspace = 14
    with pytest.raises(decode.VideoError, match="^cannot be processed"), coder_errors():
        scaling.rgb(frame, (64, 48), VideoReformatter())
    with pytest.raises(OSError, match="No space"), coder_errors():
        raise OSError(28, "No space left on device")


def _hdr(scene: np.ndarray, curve: str) -> av.VideoFrame:
    """The light of an SDR picture, white at 203 cd/m2, in the levels of a curve."""
    light = 203 * (scene / 255) ** 2.4 @ TO_2020.T
    levels = _pq(light) if curve == "PQ" else _hlg(light)
    frame = av.VideoFrame.from_ndarray(np.round(65535 * levels.clip(0, 1)).astype(np.uint16), format="rgb48le")
    coded = frame.reformat(format="yuv444p12le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG)
    coded.colorspace, coded.color_primaries, coded.color_trc = 9, 9, 16 if curve == "PQ" else 18
    return coded


def _pq(light: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, table 4."""
    power = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hlg(light: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, table 5, for a display of 1000 cd/m2."""
    shown = light / 1000
    scene = shown * ((shown @ [0.2627, 0.6780, 0.0593])[..., None] + 1e-9) ** (-0.2 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )
