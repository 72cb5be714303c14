"""Which files below a folder are videos, and which names a record can hold."""

import os

import pytest

from data_prep.audit.items import find_items
from data_prep.sources import folder, video_list
from lift_flax.errors import UserError


def test_names_that_no_record_can_hold_are_refused_first(tmp_path):
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4", "b/new\nline.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        UserError, match=r"new\\nline.mp4' has a line break or bytes that are not UTF-8 in its name; rename it"
    ):
        folder.read(tmp_path)
    (tmp_path / "b/new\nline.mp4").unlink()
    (tmp_path / os.fsdecode(b"b/caf\xe9.mp4")).touch()
    with pytest.raises(UserError, match="has a line break or bytes that are not UTF-8"):
        folder.read(tmp_path)


@pytest.mark.parametrize("blank", [" ", "\u3000", "\u200b"])
def test_a_name_of_blanks_alone_is_refused(tmp_path, blank):
    for name in ("a/1.mp4", "a/2.mp4", f"{blank}/1.mp4", f"{blank}/2.mp4", "b/ _1.mp4", "b/ _2.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        UserError, match=f"{blank}/1.mp4: the class folder '{blank}' has a name of blanks alone; rename it"
    ):
        folder.read(tmp_path)
    assert {item.notes[0].split(";")[0] for item in find_items(tmp_path)[0] if item.notes} == {
        "class whose name is blanks alone"
    }
    (tmp_path / blank).rename(tmp_path / "c")
    with pytest.raises(UserError, match="the group ' ' has a name of blanks alone; rename it"):
        folder.read(tmp_path, group_regex="/([ 0-9]+)")


def test_links_in_a_circle_and_pipes(tmp_path, capsys):
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.mp4")
    (tmp_path / "a" / "film.gif").touch()
    assert [path.name for path in video_list.find_videos(tmp_path)] == ["1.mp4", "2.mp4", "1.mp4", "2.mp4"]
    assert "files that are no videos by their ending (1 .gif)" in capsys.readouterr().out
