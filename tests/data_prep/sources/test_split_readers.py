"""The split readers give exactly the clips, labels, groups and folds on disk, and refuse what contradicts itself."""

import collections
from pathlib import Path

import pytest

from data_prep.sources import arid, folder
from data_prep.sources.video_list import SourceClip
from lift_flax.errors import UserError


def _touch(root: Path, *names: str) -> Path:
    """Empty files: readers look at names only."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# ---- ARID ----


@pytest.fixture
def official(tmp_path: Path) -> tuple[Path, Path]:
    """Lists of two folds with Windows line ends, ids 5 and 7 of a larger table, and videos in another container."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "mapping_table.txt").write_bytes(b"0\tDrink\r\n5\tRun\r\n7\tSit\r\n")
    (lists / "ARID_split1_train.txt").write_bytes(b"0\t5\tRun/Run_11_1.avi\r\n1\t7\tSit/Sit_2_10.avi\r\n")
    (lists / "ARID_split1_test.txt").write_bytes(b"0\t5\tvalidate/24.avi\r\n\r\n")
    (lists / "ARID_split1_other.txt").write_bytes(b"0\t7\tSit/Sit_3_1.avi\r\n")
    (lists / "ARID_split3_train.txt").write_bytes(b"0\t5\tvalidate/24.avi\r\n1\t7\tSit/Sit_3_1.avi\r\n")
    (lists / "ARID_split3_test.txt").write_bytes(b"0\t5\tRun/Run_11_1.avi\r\n")
    videos = _touch(tmp_path / "videos", "Run/Run_11_1.mp4", "Sit/Sit_2_10.mp4", "Sit/Sit_3_1.MP4", "validate/24.avi")
    _touch(videos, "Run/Run_1_1.mp4", ".hidden/x.mp4", "Run/._Run_11_1.mp4", "notes.txt")
    return lists, videos


def test_arid(official: tuple[Path, Path]) -> None:
    lists, videos = official
    result = arid.read(lists, videos)
    assert result.classes == ["Run", "Sit"]
    assert result.clips == [
        SourceClip(videos / "Run/Run_11_1.mp4", 0, "Run/Run_11_1", "Run_11"),
        SourceClip(videos / "Sit/Sit_2_10.mp4", 1, "Sit/Sit_2_10", "Sit_2"),
        SourceClip(videos / "validate/24.avi", 0, "validate/24", ""),
        SourceClip(videos / "Sit/Sit_3_1.MP4", 1, "Sit/Sit_3_1", "Sit_3"),
    ]
    assert result.folds == {
        "1": {"train": ["Run/Run_11_1", "Sit/Sit_2_10"], "test": ["validate/24"], "other": ["Sit/Sit_3_1"]},
        "3": {"train": ["validate/24", "Sit/Sit_3_1"], "test": ["Run/Run_11_1"]},
    }
    assert result.counts()["1"]["test"] == {"Run": 1, "Sit": 0}


def _append(name: str, line: str):
    def change(lists: Path, videos: Path) -> None:
        with (lists / name).open("a") as file:
            file.write(line + "\n")

    return change


def _remove(name: str):
    return lambda lists, videos: ((lists / name) if (lists / name).exists() else (videos / name)).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove("mapping_table.txt"), "Sit/Sit_2_10.avi has class 7, which is Stand in ARID's classes 0 to 10"),
        (_remove("ARID_split3_test.txt"), "ARID_split3_train.txt has no ARID_split3_test.txt beside it"),
        (_remove("validate/24.avi"), "1 of 4 videos named in .* are not in .*, the first is validate/24"),
        (_append("mapping_table.txt", "8\tSit"), "line 4: class 8 Sit is named twice"),
        (_append("mapping_table.txt", "8"), "line 4: expected 'id <tab> name', got '8'"),
        (_append("ARID_split1_test.txt", "0 5 a.avi"), "line 3: expected 'number <tab> class id <tab> path'"),
        (_append("ARID_split1_test.txt", "1\t6\tRun/Run_1_1.avi"), "line 3: class id 6 is not in mapping_table.txt"),
        (_append("ARID_split1_test.txt", "1\t7\tRun/Run_1_1.avi"), "line 3: Run/Run_1_1.avi has class 7, which is Sit"),
        (_append("ARID_split1_test.txt", "1\t5\tRun/Run_11_1.avi"), "Run/Run_11_1 is both in .*_train.txt and .*_test"),
        (_append("ARID_split3_test.txt", "1\t7\tvalidate/24.avi"), "validate/24 is both in"),
        (_append("ARID_split1_train.txt", "1\t0\tDrink/a.avi"), "1 of 5 videos .*, the first is Drink/a"),
        (lambda lists, videos: _touch(videos, "Run/Run_11_1.avi"), "Run/Run_11_1 exists twice"),
        (lambda lists, videos: [f.unlink() for f in lists.glob("*_train.txt")], "no ARID_split1_train.txt"),
        (
            lambda lists, videos: [f.unlink() for f in videos.rglob("*.*") if f.is_file()],
            "no video in .*; files ending in .3g2 .3gp",
        ),
        (lambda lists, videos: (lists / "mapping_table.txt").write_bytes(b"\xff\xfe\x00"), "is not a text file"),
        (lambda lists, videos: (lists / "ARID_split3_test.txt").write_text(""), "fold 3 has no test clip"),
    ],
)
def test_arid_refuses(official: tuple[Path, Path], change, message: str) -> None:
    change(*official)
    with pytest.raises(UserError, match=message) as caught:
        arid.read(*official)
    assert "\n" not in str(caught.value)


def test_arid_class_without_training_clips(official: tuple[Path, Path]) -> None:
    lists, videos = official
    _append("ARID_split1_test.txt", "1\t0\tDrink/Drink_1_1.avi")(lists, videos)
    _touch(videos, "Drink/Drink_1_1.mp4")
    with pytest.raises(UserError, match="class Drink has no training clip in fold 1"):
        arid.read(lists, videos)


def test_arid_missing_folder(official: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="no folder .*nowhere"):
        arid.read(official[0], official[1] / "nowhere")


def test_arid_real_subset(real_data: Path) -> None:
    root = real_data / "arid_subset"
    result = arid.read(root, root / "clips")
    assert result.classes == ["Jump", "Run", "Sit", "Stand", "Turn", "Walk"]
    assert {name: len(ids) for name, ids in result.folds["1"].items()} == {"train": 150, "test": 50}
    train = set(result.folds["1"]["train"])
    groups = [clip.group for clip in result.clips if clip.id in train]
    assert all(groups) and len(set(groups)) == 15
    assert {clip.group for clip in result.clips if clip.id not in train} == {""}


# ---- folders ----


def test_folders_with_train_and_test(tmp_path: Path) -> None:
    _touch(tmp_path, "train/b/3.mp4", "train/a/deep/2.avi", "test/a/1.mp4", "test/b/1.mkv", "test/b/readme.txt")
    result = folder.read(tmp_path, group_regex=r"(\d)\.")
    assert result.classes == ["a", "b"]
    assert {clip.id: (clip.label, clip.group) for clip in result.clips} == {
        "test/a/1": (0, "1"),
        "test/b/1": (1, "1"),
        "train/a/deep/2": (0, "2"),
        "train/b/3": (1, "3"),
    }
    assert result.folds == {"1": {"train": ["train/a/deep/2", "train/b/3"], "test": ["test/a/1", "test/b/1"]}}


def test_share_of_each_class_is_drawn(tmp_path: Path) -> None:
    names = [f"{name}/{i}.mp4" for name, count in (("a", 10), ("b", 23), ("c", 2)) for i in range(count)]
    _touch(tmp_path, *names)
    result = folder.read(tmp_path, test_share=0.2, seed=3)
    assert result.counts()["1"]["test"] == {"a": 2, "b": 5, "c": 1}
    assert sorted(result.folds["1"]["train"] + result.folds["1"]["test"]) == sorted(clip.id for clip in result.clips)
    assert {clip.group for clip in result.clips} == {""}
    assert folder.read(tmp_path, test_share=0.2, seed=3) == result
    assert folder.read(tmp_path, test_share=0.2, seed=4) != result


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together(tmp_path: Path, seed: int) -> None:
    """Actors play in every class; no actor is on both sides, and each class is near its share."""
    _touch(
        tmp_path, *(f"{name}/actor{actor}_{i}.mp4" for name in "abc" for actor in range(10) for i in range(actor + 1))
    )
    result = folder.read(tmp_path, group_regex=r"/actor(\d+)_", test_share=0.3, seed=seed)
    group_of = {clip.id: clip.group for clip in result.clips}
    sides = collections.defaultdict(set)
    for side, ids in result.folds["1"].items():
        for id in ids:
            sides[group_of[id]].add(side)
    assert len(sides) == 10 and all(len(side) == 1 for side in sides.values())
    assert all(11 <= count <= 22 for count in result.counts()["1"]["test"].values())  # wanted: 16.5 of 55


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "no folder|no video in"),
        (["a.mp4"], {}, "a.mp4 is in no class folder; expected .*/CLASS/a.mp4"),
        (["a/1.mp4", "a/2.mp4", "b/1.mp4"], {}, "class b has one clip and cannot be split"),
        (["a/1.mp4", "a/1.avi", "b/1.mp4"], {}, "two files share the id a/1"),
        (["train/a/1.mp4", "test/b/1.mp4"], {}, "class a has videos in .*/train but none in .*/test"),
        (["train/a/1.mp4", "test/a/1.mp4", "test/b/1.mp4"], {}, "class b has videos in .*/test but none in .*/train"),
        (["train/a/1.mp4", "test/a/1.mp4", "c/2.mp4"], {}, "is beside the folders train and test"),
        (["train/a/1.mp4"], {}, "has only one of the folders train and test"),
        (
            ["a/g1_1.mp4", "a/g1_2.mp4"],
            {"group_regex": "(g.)_"},
            "class a cannot be split into train and test: groups stay whole",
        ),
        (["a/1.mp4", "a/2.mp4"], {"group_regex": "("}, "is not a regular expression"),
        (["a/1.mp4", "a/2.mp4"], {"group_regex": "1"}, "has no capture group"),
        (["a/1.mp4", "a/2.mp4"], {"group_regex": "(1)"}, "gives no group for 1 of 2 videos, the first is a/2.mp4"),
    ],
)
def test_folders_refuse(tmp_path: Path, names: list[str], options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        folder.read(_touch(tmp_path / "videos", *names), **options)
    assert "\n" not in str(caught.value)


# ---- CSV ----


def test_csv(tmp_path: Path) -> None:
    videos = _touch(tmp_path / "videos", "x/1.mp4", "2.mp4", "3.mp4", "unlisted.mp4")
    table = tmp_path / "list.csv"
    table.write_bytes(
        b"\xef\xbb\xbfpath,label,split,note\r\nx/1.mp4,walk,train,\r\n2.mp4,run,train,n\r\n3.mp4,run,test,\r\n"
    )
    result = folder.read(videos, csv_file=table, ignore_columns=True, group_regex=r"(\d)\.mp4")
    assert result.classes == ["run", "walk"]
    assert result.clips == [
        SourceClip(videos / "x/1.mp4", 1, "x/1", "1"),
        SourceClip(videos / "2.mp4", 0, "2", "2"),
        SourceClip(videos / "3.mp4", 0, "3", "3"),
    ]
    assert result.folds == {"1": {"train": ["x/1", "2"], "test": ["3"]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column path"),
        ("path,split\n1.mp4,train\n", "has no column label"),
        ("path,label,split\n", "has no rows"),
        ("path,label,split\n1.mp4,a\n", "line 2: path, label, split must all be given"),
        ("path,label,split\n1.mp4,a,hold\n", "line 2: split hold is not train, val, test or other"),
        ("path,label,split\n1.mp4,a,train\n9.mp4,a,test\n8.mp4,a,test\n", "2 of 3 videos .* the first is 9.mp4"),
        ("path,label,split\n1.mp4,a,train\n1.mp4,a,test\n", "1.mp4 is listed twice: keep one of the lines"),
        ("path,label,split\n1.mp4,a,train\n2.mp4,b,test\n", "class b has no training clip in fold 1"),
        ("path,label,split\n1.mp4,a,train\n2.mp4,a,train\n", "fold 1 has no test clip"),
    ],
)
def test_csv_refuses(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    videos = _touch(tmp_path / "videos", "1.mp4", "2.mp4")
    with pytest.raises(UserError, match=message):
        folder.read(videos, csv_file=tmp_path / "list.csv")
    with pytest.raises(UserError, match="no file"):
        folder.read(videos, csv_file=tmp_path / "absent.csv")


def test_what_cannot_apply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label,split\n1.mp4,a,train\n2.mp4,a,test\n")
    videos = _touch(tmp_path / "videos", "1.mp4", "2.mp4")
    with pytest.raises(UserError, match="list.csv give the splits: leave out --test-share"):
        folder.read(videos, csv_file=tmp_path / "list.csv", test_share=0.3)
    with pytest.raises(UserError, match="has one class only, a"):
        folder.read(videos, csv_file=tmp_path / "list.csv")


def test_a_folder_without_videos_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4")
    (tmp_path / "c").mkdir()
    assert folder.read(tmp_path).classes == ["a", "b"]
    assert capsys.readouterr().out == f"left out: {tmp_path / 'c'} holds no video\n"


def test_a_group_on_both_sides_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "train/b/1.mp4", "train/a/2.mp4", "test/a/1.mp4", "test/b/3.mp4")
    with pytest.raises(
        UserError, match=r"group 1 is on both sides of fold 1 \(train/b/1 is trained on, test/a/1 tested\)"
    ):
        folder.read(tmp_path, group_regex=r"(\d)\.")
