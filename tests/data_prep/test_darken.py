"""Videos filmed again in the dark: as dark as asked for, with noise, in the same layout, and records in two lights."""

import os
import shutil

import numpy as np
import pytest

from data_prep import build, darken
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.video.checks.brightness import of_rgb
from lift_flax.video.decode import decode_frames
from tests.conftest import moving_bar
from tests.support.video_files import write_video


@pytest.fixture
def videos(tmp_path):
    for label, name in enumerate(("right", "down")):
        for index in range(3):
            write_video(tmp_path / "day" / name / f"{index}.mp4", moving_bar(label, index, 12))
    return tmp_path / "day"


def _luma(path):
    return float(np.mean([of_rgb(frame).mean() for frame in decode_frames(path)]))


def test_videos_are_as_dark_as_asked_for(videos, tmp_path, capsys):
    dark = tmp_path / "dark"
    darken.main([f"--videos={videos}", f"--out={dark}", "--luma=12", "--workers=1"])
    assert f"6 videos in {dark}, of mean luma 12 or less" in capsys.readouterr().out
    found = sorted(path.relative_to(dark) for path in dark.rglob("*.mp4"))
    assert found == sorted(path.relative_to(videos) for path in videos.rglob("*.mp4"))
    for name in found:
        assert _luma(dark / name) == pytest.approx(12, abs=2)
        assert len(decode_frames(dark / name)) == len(decode_frames(videos / name))
    first = decode_frames(dark / found[0]).astype(int)
    still = decode_frames(videos / found[0]).astype(int)
    same = (still[0] == still[1]).all(axis=-1)  # where nothing moves there is noise all the same
    assert same.any() and np.abs(first[0] - first[1])[same].mean() > 0.3

    files = {name: (dark / name).stat().st_ino for name in found}
    dark.rename(tmp_path / "kept")  # links keep the numbers of files in use
    shutil.copytree(tmp_path / "kept", dark, copy_function=os.link)
    (dark / found[0]).unlink()
    darken.main([f"--videos={videos}", f"--out={dark}", "--luma=12", "--workers=1"])  # makes what is missing
    assert [name for name in found if (dark / name).stat().st_ino != files[name]] == [found[0]]


@pytest.mark.slow
def test_records_in_two_lights(videos, tmp_path):
    dark = tmp_path / "dark"
    darken.main([f"--videos={videos}", f"--out={dark}", "--workers=1"])
    for place in (videos, dark):
        build.main(["folder", f"--videos={place}", f"--out={tmp_path / 'records' / place.name}", "--workers=1"])
    opened = open_records(f"{tmp_path}/records/day,{tmp_path}/records/dark")
    assert opened.of_part(opened.split(1, "test"), "dark")


def test_a_video_that_is_darker_keeps_its_light(videos, tmp_path):
    dark, darker = tmp_path / "dark", tmp_path / "darker"
    darken.main([f"--videos={videos}", f"--out={dark}", "--luma=12", "--workers=1"])
    darken.main([f"--videos={dark}", f"--out={darker}", "--luma=60", "--workers=1"])
    for path in darker.rglob("*.mp4"):
        assert _luma(path) == pytest.approx(12, abs=3)


def test_mistakes_are_named(videos, tmp_path, capsys):
    dark = tmp_path / "dark"
    for suffix in ("mp4", "mov"):
        (tmp_path / "twice").mkdir(exist_ok=True)
        shutil.copy(videos / "right" / "0.mp4", tmp_path / "twice" / f"0.{suffix}")
    for words, message in (
        ([f"--videos={tmp_path / 'none'}", f"--out={dark}"], "is not a folder"),
        ([f"--videos={videos}", f"--out={videos / 'dark'}"], "choose another folder for the dark videos"),
        ([f"--videos={videos}", f"--out={tmp_path}"], "holds other files"),
        ([f"--videos={tmp_path / 'twice'}", f"--out={dark}"], "would both become 0.mp4: rename one of them"),
        ([f"--videos={videos}", f"--out={dark}", "--luma=0.5"], "not a mean luma"),
    ):
        with pytest.raises(UserError, match=message):
            darken.main(words)
    darken.main([f"--videos={videos}", f"--out={dark}", "--workers=1"])
    with pytest.raises(UserError, match="was darkened with luma 17"):
        darken.main([f"--videos={videos}", f"--out={dark}", "--luma=30"])


def test_videos_of_others_are_not_taken_for_those_asked_for(videos, tmp_path):
    """The original was replaced, or is gone; what is there stays."""
    dark, first = tmp_path / "dark", videos / "down" / "0.mp4"
    darken.main([f"--videos={videos}", f"--out={dark}", "--workers=1"])
    before = (dark / "down" / "0.mp4").read_bytes()
    os.utime(first, (1, 1))  # as of a copy
    darken.main([f"--videos={videos}", f"--out={dark}", "--workers=1"])
    shutil.copy(videos / "right" / "2.mp4", first)
    with pytest.raises(UserError, match=f"was filmed from another video than {first}: move it away, or choose another"):
        darken.main([f"--videos={videos}", f"--out={dark}", "--workers=1"])
    first.unlink()
    with pytest.raises(UserError, match=r"0\.mp4 is of none of these videos: move it away"):
        darken.main([f"--videos={videos}", f"--out={dark}", "--workers=1"])
    assert (dark / "down" / "0.mp4").read_bytes() == before
