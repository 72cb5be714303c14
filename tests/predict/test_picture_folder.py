"""A folder of pictures is a video: the frames of its numbers, upright, of one size."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from lift_flax.errors import UserError
from lift_flax.predict import __main__ as predict
from lift_flax.predict.picture_folder import open_pictures
from lift_flax.predict.reading import read_video
from lift_flax.video.clips import Preparation, Windows
from lift_flax.video.decode import VideoError, decode_frames
from tests.support.video_files import numbered_frames, read_numbers, write_video

FRAMES = numbered_frames(range(24), width=96, height=64)


def _write(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name, frame in zip(names, FRAMES, strict=False):
        Image.fromarray(frame).save(folder / name)
    return folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Names as people number them, without zeros in front, and what systems leave in folders."""
    folder = _write(tmp_path / "shot 1", [f"img_{number}.png" for number in range(24)])
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / "._img_1.png").write_bytes(b"\0")
    (folder / "list.txt").write_text("img_0.png")
    return folder


def _clips(folder: Path, fps: float | None = None, windows: Windows | None = None, flow: str = "none"):
    how = Preparation("h264", 64, 64, flow, 12, 64)
    return list(read_video(folder, how, windows or Windows(), fps))


def test_pictures_are_frames_in_the_order_of_their_numbers(pictures):
    video = open_pictures(pictures)
    frames = np.stack([frame.to_ndarray(format="rgb24") for _, frame in video.frames([23, *range(12), 11])])
    assert read_numbers(frames) == [*range(12), 23] and video.notes == (
        "no frame rate given: its pictures are one clip",
    )
    np.testing.assert_array_equal(frames[:12], FRAMES[:12])
    (clip,) = _clips(pictures, windows=Windows(longest=0.1, length=0.1, hop=0.1))
    assert clip.indices.tolist() == list(range(1, 24, 2))
    with_flow = _clips(pictures, flow="dis")[0].parts
    assert with_flow["flow"].shape == (12, 64, 64, 2)


def test_the_frames_are_those_of_a_video_of_them(pictures, tmp_path):
    film = write_video(tmp_path / "film.mp4", FRAMES, fps=8)
    windows = Windows(longest=2.0, length=2.0, hop=1.0)
    of_pictures, of_film = _clips(pictures, 8.0, windows), _clips(film, None, windows)
    assert [(c.start, c.end, c.indices.tolist()) for c in of_pictures] == [
        (c.start, c.end, c.indices.tolist()) for c in of_film
    ]
    assert len(of_pictures) == 2
    for one, other in zip(of_pictures, of_film, strict=True):
        assert np.abs(one.parts["clip"].astype(int) - other.parts["clip"]).mean() < 3


def test_each_kind_of_picture(tmp_path):
    """Grey, palette, with alpha, 16 bits; on their side by EXIF, with a size that differs from the others'."""
    grey = FRAMES[:2, :, :, 0]
    kinds = {
        "RGB": [Image.fromarray(frame) for frame in FRAMES[:2]],
        "L": [Image.fromarray(frame) for frame in grey],
        "I;16": [Image.fromarray(frame.astype(np.uint16) * 257) for frame in grey],
        **{mode: [Image.fromarray(frame).convert(mode) for frame in FRAMES[:2]] for mode in ("RGBA", "LA")},
        "P": [Image.fromarray(frame).quantize() for frame in FRAMES[:2]],
    }
    for number, (mode, images) in enumerate(kinds.items()):
        for suffix in (".png", ".tif"):
            folder = tmp_path / f"{number}{suffix}"
            folder.mkdir()
            for index, image in enumerate(images):
                image.save(folder / f"{index}{suffix}")
            video = open_pictures(folder, 5.0)
            found = [frame.to_ndarray(format="rgb24") for _, frame in video.frames([0, 1])]
            assert np.abs(np.stack(found).astype(int) - FRAMES[:2]).max() <= 1, (mode, suffix)
            assert video.notes == (("more than 8 bits: 16 a channel",) if mode == "I;16" else ())
    sideways = tmp_path / "sideways"
    sideways.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    for index, frame in enumerate(FRAMES[:2]):
        Image.fromarray(np.ascontiguousarray(np.rot90(frame))).save(sideways / f"{index}.jpg", exif=exif, quality=95)
    video = open_pictures(sideways)
    assert (video.width, video.height) == (96, 64)
    assert read_numbers(np.stack([f.to_ndarray(format="rgb24") for _, f in video.frames([0, 1])])) == [0, 1]


def test_what_is_no_sequence_of_pictures_is_said(pictures, tmp_path):
    def fails(folder: Path, message: str) -> None:
        with pytest.raises(VideoError, match=message):
            _clips(folder)

    Image.fromarray(FRAMES[7, :32]).save(pictures / "img_7.png")
    fails(pictures, r"img_7.png has 96x32 px and img_0.png has 96x64: give pictures of one size")
    Image.fromarray(FRAMES[7]).save(pictures / "img_7.png")
    (pictures / "img_9.png").write_bytes((pictures / "img_9.png").read_bytes()[:150])
    fails(pictures, r"img_9.png is damaged or no picture \(image file is truncated")
    (pictures / "img_9.png").write_text("text")
    fails(pictures, r"img_9.png is damaged or no picture \(cannot identify")
    Image.fromarray(FRAMES[9]).save(pictures / "img_9.png")
    Image.fromarray(FRAMES[9]).save(pictures / "img_9.jpg")
    fails(pictures, r"pictures of several kinds, .jpg and .png: keep one kind in the folder")
    for number in range(1, 24):
        (pictures / f"img_{number}.png").unlink()
    (pictures / "img_9.jpg").unlink()
    fails(pictures, "a folder that holds one picture")
    deep = _write(tmp_path / "deep", [])
    for number in range(2):
        Image.fromarray(FRAMES[number, :, :, 0].astype(np.float32)).save(deep / f"{number}.tif")
    fails(deep, "0.tif has more than 16 bits a channel: save it with 8")


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_a_picture_of_several_pages_is_no_frame(tmp_path, suffix):
    """Their first pages alone would have been the video."""
    images = [Image.fromarray(frame) for frame in FRAMES[:5]]
    for name in ("a", "b"):
        images[0].save(tmp_path / f"{name}.{suffix}", save_all=True, append_images=images[1:])
    for _ in range(2):
        with pytest.raises(
            VideoError, match=rf"^a.{suffix} holds 5 pictures, and is one frame here: save each in a file"
        ):
            open_pictures(tmp_path)
        (tmp_path / f"b.{suffix}").unlink(missing_ok=True)


def test_previews_in_a_picture_are_no_pages(tmp_path):
    """A smaller copy in a TIFF, and the second picture in the JPEG of a phone."""
    images = [Image.fromarray(frame) for frame in FRAMES[:2]]
    for suffix in ("tif", "jpg"):
        (tmp_path / suffix).mkdir()
        for number, image in enumerate(images):
            preview = image.resize((24, 16))
            preview.encoderinfo = {"tiffinfo": {254: 1}}
            kind = {"tif": "TIFF", "jpg": "MPO"}[suffix]
            image.save(tmp_path / suffix / f"{number}.{suffix}", kind, save_all=True, append_images=[preview])
        with Image.open(tmp_path / suffix / f"0.{suffix}") as saved:
            assert sum(1 for _ in ImageSequence.Iterator(saved)) == 2
        assert open_pictures(tmp_path / suffix).timing.times.size == 2


def test_a_folder_of_several_videos_says_so(tmp_path, pictures):
    """A program gives one video; a command line takes the folder as its files."""

    def said(folder: Path) -> str:
        with pytest.raises(VideoError) as refused:
            _clips(folder)
        return str(refused.value)

    (tmp_path / "v" / "jump").mkdir(parents=True)
    assert said(tmp_path / "v") == "a folder that holds neither videos nor pictures"
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "v" / "jump" / name).touch()
    for folder in ("v", "v/jump"):
        assert said(tmp_path / folder) == (
            "a folder that holds 2 videos: give the files themselves, several in Python to run.each(FILES)"
        )
    shots = tmp_path / "shots"
    shots.mkdir()
    pictures.rename(shots / "1")
    assert said(shots).startswith("a folder that holds a folder of pictures: give those")


def test_the_command_answers_folders_of_pictures(run, records, tmp_path, capsys):
    """As their video: whole, and with --fps cut into windows.  A bad folder has its error in its place."""
    source = sorted((records.parent / "videos" / "test").rglob("*.mp4"))[0]
    frames = decode_frames(source)
    for name in ("a", "b"):
        (tmp_path / "shots" / name).mkdir(parents=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / "shots" / name / f"{number}.png")
    shutil.copy(tmp_path / "shots" / "a" / "0.png", tmp_path / "shots" / "b" / "0.jpg")
    flags = [f"--workdir={run}", "--longest=1", "--window=1", "--hop=1"]
    with pytest.raises(UserError, match="1 of 3 videos"):
        predict.main([*flags, str(tmp_path / "shots"), str(source)])
    a, note, b, of_file, *_ = capsys.readouterr().out.splitlines()
    assert note == "  note: no frame rate given: its pictures are one clip"
    assert a.startswith(f"{tmp_path / 'shots' / 'a'}: ") and "clips, each" not in a
    assert (
        b == f"{tmp_path / 'shots' / 'b'}: error: pictures of several kinds, .jpg and .png: keep one kind in the folder"
    )
    predict.main([*flags, "--fps=6", str(tmp_path / "shots" / "a")])
    assert "4 clips, each" in capsys.readouterr().out.splitlines()[0]
    for wrong in ("0", "-1", "nan", "many"):
        with pytest.raises(UserError, match="is no number of pictures per second, above 0"):
            predict.main([*flags, f"--fps={wrong}", str(tmp_path)])
