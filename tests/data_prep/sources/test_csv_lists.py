"""Lists of videos as spreadsheets save them: read, or refused in one line that says which line and what to do."""

import os
import threading
import unicodedata
from pathlib import Path

import pytest

from data_prep.audit.items import find_items
from data_prep.sources import csv_lists, folder
from lift_flax.errors import UserError

ROWS = [("path", "label", "split"), ("Fu\u00dftritt.mp4", "Fu\u00dftritt", "train"), ("b.mp4", "Fu\u00dftritt", "test"),
        ("c.mp4", "gehen", "train"), ("d.mp4", "gehen", "test")]  # fmt: skip
COMMA = "\r\n".join(",".join(row) for row in ROWS) + "\r\n"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, *_ in ROWS[1:]:
        (folder / name).touch()
    return folder


def _list(videos: Path, content: bytes) -> Path:
    path = videos.parent / "list.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [
    COMMA.encode(),
    COMMA.encode("utf-8-sig"),
    COMMA.replace(",", "\t").encode("utf-16"),
    COMMA.replace(",", "\t").encode("utf-16-le"),
    COMMA.replace(",", ";").encode("utf-16-be"),
    COMMA.encode("utf-32"),
    COMMA.replace(",", ";").encode("utf-8-sig"),
    ("sep=,\r\n" + COMMA).encode("utf-8-sig"),
    ("sep=|\r\n" + COMMA.replace(",", "|")).encode(),
    COMMA.replace("\r\nb.mp4", "\r\n.\\b.mp4").encode(),
    COMMA.replace("path,label,split", "Path, LABEL , Split").encode(),
    COMMA.replace("path,label,split", '"path";"label";"split"').replace(",", ";").encode(),
    COMMA.replace("\r\n", "\r").encode(),
    COMMA.replace("\r\n", "\n").encode(),
    (COMMA + ",,\r\n\r\n , ,\r\n").encode(),
    COMMA.replace("\r\n", ",,\r\n").encode(),
    COMMA.replace("train", "Training").replace("test", "VAL").encode(),
    unicodedata.normalize("NFD", COMMA).encode(),
    COMMA.replace("Fu\u00dftritt,train", '"Fu\u00dftritt",train').encode(),
    COMMA.replace("Fu\u00dftritt,", ' "Fu\u00dftritt", ', 1).replace("gehen", ' "gehen"').encode(),
    COMMA.replace("gehen", ' "gehen"').replace(",", "\t").encode(),
    "\r\n".join(",".join((row[2], row[0], row[1])) for row in ROWS).encode(),
])  # fmt: skip
def test_read_as_it_was_meant(videos, content):
    result = folder.read(videos, csv_file=_list(videos, content))
    assert result.classes == ["Fu\u00dftritt", "gehen"]
    assert result.folds == {"1": {"train": ["Fu\u00dftritt", "c"], "test": ["b", "d"]}}
    assert all(os.path.isfile(clip.path) for clip in result.clips)


@pytest.mark.parametrize(("content", "message"), [
    (COMMA.encode("cp1252"), r"line 2: byte 0xdf is not UTF-8, perhaps 'ß' of .*; save it as .CSV UTF-8., or"),
    (COMMA.replace("b.mp4,", '"b.mp4,').encode(), "line 3: a quotation mark opens a field and never closes"),
    (COMMA.replace("b.mp4,Fu\u00dftritt", 'b.mp4,\t"Fu\u00dftritt"').encode(), "line 3: white space other than blanks"),
    (COMMA.encode() + b"\x00\x00\x00\r\n", "line 6: a zero byte, not text; save it again"),
    (COMMA.encode() + b"x" * 200_000 + b",walk,train\r\n", "line 6: a field of more than 131,072 characters"),
    (COMMA.encode() + b"x" * 100_000 + b",walk,train\r\n", r"1 of 5 .* the first is x{60}… \(100,000 characters\)"),
    (COMMA.encode() + b"e,f.mp4,walk,train\r\n", "line 6: more fields than columns; a field with a delimiter"),
    (("," + COMMA.replace("\n", "\n7,")).encode(), "line 2: its first column has no name, .* index=False, or leave"),
    (COMMA.encode("utf-16")[:-3], "line 5: byte 0x.. is not utf-16"),
    (b"PK\x03\x04" + bytes(99), 'is a workbook, not a CSV: save it as "CSV UTF-8"'),
    (COMMA.replace("label", "class").encode(), r"has no column label \(there are path, class, split\)"),
    (COMMA.replace("split", "fold").replace("test", "train").encode(), "the column fold has one value only, train"),
    (COMMA.replace("split", "fold").replace("train", "01").replace("test", "1").encode(), "folds 01 and 1 in .* are"),
    (COMMA.replace("split", "fold").replace("train", "A").replace("test", "a").encode(), "A and a in .* in two ways;"),
    (COMMA.replace("split", "part").encode(), "has a column part, and path,label.* have a meaning; .* --ignore"),
    (COMMA.replace("split", "label").encode(), "has two columns label; remove one"),
    (b"path,label,split,fold\r\nb.mp4,a,train,1\r\n", "has the columns split and fold, and each of them gives"),
    (COMMA.replace("gehen,test", '"ge\nhen",test').encode(), r"line 5: the label 'ge\\nhen' has a line break"),
    (COMMA.replace("c.mp4,gehen,train", "c.mp4,gehen,training").encode(), "train and training are both the train"),
])  # fmt: skip
def test_refused_in_one_line(videos, content, message):
    with pytest.raises(UserError, match=message) as caught:
        folder.read(videos, csv_file=_list(videos, content))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_list_may_come_through_a_pipe(videos):
    pipe = videos.parent / "list.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(COMMA.encode(),))
    writer.start()
    assert folder.read(videos, csv_file=pipe).classes == ["Fu\u00dftritt", "gehen"]
    writer.join()


def test_other_columns_may_be_ignored(videos):
    content = "\n".join(f"{','.join(row)},note {k}" for k, row in enumerate(ROWS)).encode()
    path = _list(videos, content)
    with pytest.raises(UserError, match="has a column note 0"):
        csv_lists.read_csv(path, videos)
    rows = csv_lists.read_csv(path, videos, ignore_columns=True)
    assert [row.label for row in rows] == [row[1] for row in ROWS[1:]]
    with pytest.raises(UserError, match="--ignore-columns has no effect without --csv"):
        folder.read(videos, ignore_columns=True)
    with pytest.raises(UserError, match="gives the classes: leave out --class-level"):
        folder.read(videos, csv_file=path, class_level=1)


def test_a_name_written_otherwise_than_on_the_disk_is_found(tmp_path):
    """As after unpacking an archive of another system: letters decomposed in one folder, composed in the next."""
    decomposed, composed = "Fu\u00dfga\u0308nger", "m\u00fcde.mp4"
    (tmp_path / "v" / decomposed).mkdir(parents=True)
    for name in (composed, "b.mp4"):
        (tmp_path / "v" / decomposed / name).touch()
    written = (("mu\u0308de.mp4", "a"), ("b.mp4", "b"))
    text = "path,label\n" + "".join(f"Fu\u00dfg\u00e4nger\\{name},{label}\n" for name, label in written)
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    rows = csv_lists.read_csv(tmp_path / "list.csv", tmp_path / "v")
    assert [row.path for row in rows] == [tmp_path / "v" / decomposed / name for name in (composed, "b.mp4")]


def test_paths_are_below_the_folder_however_both_are_written(tmp_path, monkeypatch):
    for name in ("jump/p1_a.mp4", "jump/p2_a.mp4", "walk/p1_a.mp4", "walk/p2_a.mp4"):
        file = tmp_path / "v" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "store").mkdir()
    (tmp_path / "v" / "walk").rename(tmp_path / "store" / "walk")
    (tmp_path / "v" / "walk").symlink_to("../store/walk")  # a link inside is kept
    (tmp_path / "link").symlink_to("v")
    monkeypatch.chdir(tmp_path)
    clips = sorted(path.relative_to("v") for folder in ("jump", "walk") for path in Path("v", folder).iterdir())
    for videos in (Path("v"), Path("link"), tmp_path / "v", tmp_path / "link", Path("v/../v")):
        for root in (tmp_path / "v", tmp_path / "link"):
            Path("list.csv").write_text("path,label\n" + "".join(f"{root / p},{p.parts[0]}\n" for p in clips))
            result = folder.read(
                videos, csv_file=Path("list.csv"), group_regex="^[a-z]+/([a-z]+[0-9])", test_groups="p1"
            )
            assert result.folds["1"]["test"] == ["jump/p1_a", "walk/p1_a"]
            items, _ = find_items(videos, csv_file=Path("list.csv"), group_regex="^[a-z]+/([a-z]+[0-9])")
            assert [item.name for item in items] == [str(clip) for clip in clips]
    Path("list.csv").write_text(f"path,label\njump/p1_a.mp4,a\n{tmp_path}/v/jump/p1_a.mp4,b\n")
    with pytest.raises(UserError, match="jump/p1_a.mp4 is listed twice"):
        folder.read(Path("v"), csv_file=Path("list.csv"))
