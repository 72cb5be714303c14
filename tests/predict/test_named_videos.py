"""Which files are videos, which folders are, and what is nothing that can be read as a file."""

import codecs
import io
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from data_prep.sources.video_list import find_videos
from lift_flax.errors import UserError
from lift_flax.predict.named_videos import distinct_names, named_videos
from lift_flax.video.paths import is_video, pictures_in, videos_below, why_no_file
from tests.support.video_files import write_numbered

TYPESCRIPT = "import { clip } from './clip'\n\nexport const seconds = 'Sekunden: ä'\n" * 40


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A program in TypeScript beside transport streams: a whole one, an empty one, one whose head is lost."""
    root = tmp_path_factory.mktemp("mixed")
    stream = write_numbered(root / "streams" / "a.ts")
    shutil.copy(stream, root / "streams" / "b.MTS")
    (root / "streams" / "lost.ts").write_bytes(bytes(2000) + stream.read_bytes()[2000:])
    (root / "streams" / "empty.ts").touch()
    (root / "streams" / "pointer.ts").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (root / "source").mkdir()
    for number in range(3):
        (root / "source" / f"{number}.ts").write_text(TYPESCRIPT[number:], encoding="utf-8")
    (root / "source" / "module.mts").write_text(TYPESCRIPT, encoding="utf-16")
    return root


def test_transport_streams_are_videos_and_typescript_is_not(mixed, capsys):
    videos, others = videos_below(mixed)
    assert [path.name for path in videos] == ["a.ts", "b.MTS", "empty.ts", "lost.ts", "pointer.ts"]
    assert others == {".ts with text in it": 3, ".mts with text in it": 1}
    assert named_videos([str(mixed)]) == find_videos(mixed) == videos
    assert "(1 .mts with text in it, 3 .ts with text in it)" in capsys.readouterr().out
    assert named_videos([str(mixed / "source" / "1.ts")]) == [mixed / "source" / "1.ts"]  # by its name, it is tried


def test_other_endings_are_not_opened(tmp_path):
    assert is_video(tmp_path / "missing.mp4") and not is_video(tmp_path / "missing.txt")


def test_what_is_no_file_is_not_found_in_folders(tmp_path):
    video = write_numbered(tmp_path / "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "broken.mp4").symlink_to("missing.mp4")  # reported where it is used
    (tmp_path / "device.mp4").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket.mp4"))
        assert videos_below(tmp_path)[0] == [video, tmp_path / "broken.mp4"]


def test_pictures_are_a_video_where_there_is_no_other(tmp_path, capsys):
    """Also below; a single picture is no sequence.  Beside videos they are stills, and left out aloud."""
    for name in ("10/2.png", "10/10.png", "9/b1.PNG", "9/b02.png", "9/notes.txt", "9/.b3.png", "cover/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert named_videos([str(tmp_path)]) == [tmp_path / "9", tmp_path / "10"]
    assert [path.name for path in pictures_in(tmp_path / "10")] == ["2.png", "10.png"]
    assert [path.name for path in pictures_in(tmp_path / "9")] == ["b1.PNG", "b02.png"]
    assert capsys.readouterr().err == ""
    video = write_numbered(tmp_path / "a.mp4")
    assert named_videos([str(tmp_path)]) == [video]
    assert "6 pictures beside videos are left out" in capsys.readouterr().err
    assert named_videos([str(tmp_path / "cover")]) == [tmp_path / "cover"]  # its error comes in its place


@pytest.mark.parametrize("address", [
    "rtsp://user:secret@localhost:554/live", "http://host/a.mp4?x=[1]*", "https://host/a", "s3://bucket/a.mp4", "udp://@:1",
])  # fmt: skip
def test_addresses_are_refused_as_they_were_given(address):
    assert named_videos([address, "a.mp4"]) == [address, Path("a.mp4")]
    for spelling in (address, str(Path(address))):
        reason = why_no_file(spelling)
        assert reason and reason.startswith("an address, and only files are read: save it first (ffmpeg -i ADDRESS ")
    with pytest.raises(UserError, match="is an address, and only files are read: save it first"):
        find_videos(Path(address))


def test_what_only_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video = write_numbered(tmp_path / "cam:" / "a.mp4").relative_to(tmp_path)
    assert named_videos([str(video)]) == [video] and why_no_file(str(video)) is None
    assert why_no_file("C:/missing.mp4") is None


def test_devices_and_terminals_are_refused():
    assert "a device, and only files are read: record it first" in (why_no_file("/dev/zero") or "")
    assert (why_no_file("/dev/null") or "").startswith("empty: write a video to it (ffmpeg ... | lift-flax predict ")
    leader, follower = os.openpty()
    try:
        assert "a terminal: write a video to it" in (why_no_file(os.ttyname(follower)) or "")
    finally:
        os.close(leader)
        os.close(follower)


def test_a_video_where_paths_are_expected(tmp_path, monkeypatch):
    content = write_numbered(tmp_path / "a.mp4").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(UserError, match="standard input holds no paths, one a line: for a video give /dev/stdin"):
        named_videos(["-"])


def test_paths_on_standard_input_as_windows_writes_them(monkeypatch):
    listed = codecs.BOM_UTF8 + "a.mp4\r\n\r\nein Fu\u00df.mp4".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    assert named_videos(["-"]) == [Path("a.mp4"), Path("ein Fu\u00df.mp4")]


def test_distinct_names():
    videos = [Path(name) for name in ("a/x.mp4", "b/x.mp4", "x.avi", "x-2.mp4", "y.mp4")]
    assert distinct_names(videos) == ["x", "x-2", "x-3", "x-2-2", "y"]
    assert distinct_names([Path("..mp4"), Path("a/...mp4"), Path(".b.mp4")]) == ["video", "video-2", ".b"]
