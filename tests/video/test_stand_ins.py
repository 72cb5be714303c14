"""What lies in the place of a video is named as what it is, with the way to the video."""

import pytest

from lift_flax.video.decode import VideoError, decode_frames
from lift_flax.video.inspection import inspect_video
from tests.support.video_files import write_numbered

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(("text", "reason"), [
    (LFS, "a Git LFS pointer, not the video itself; fetch it with `git lfs pull`"),
    ("/annex/objects/SHA256E.mp4\n", "a git-annex pointer, not the video itself; fetch it with `git annex get`"),
    ("\ufeff<!DOCTYPE html>\n<html><title>404</title>", "a web page, not a video; download the video again"),
    ("version 2 of my notes", "not a video (invalid data found when processing input)"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_files_of_text(tmp_path, text, reason, suffix):
    path = tmp_path / f"clip{suffix}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(VideoError) as refused:
        inspect_video(path)
    assert str(refused.value) == reason


def test_links_to_nowhere(tmp_path):
    (tmp_path / "a.mp4").symlink_to("gone.mp4")
    with pytest.raises(VideoError, match=r"^a link to a missing file \(gone.mp4\)$"):
        inspect_video(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to(".git/annex/objects/x/clip.mp4")
    with pytest.raises(
        VideoError, match=r"^a link to a missing file \(.git/annex/.*; fetch it with `git annex get`\)$"
    ):
        decode_frames(str(tmp_path / "b.mp4"))
    write_numbered(tmp_path / "gone.mp4", 5)
    assert inspect_video(tmp_path / "a.mp4").num_frames == 5
