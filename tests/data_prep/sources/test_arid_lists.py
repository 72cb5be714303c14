"""Lists of UG2+, of DarkLight and of ARID 1.5: recognised by their names, joined with videos, or refused."""

from pathlib import Path

import pytest

from data_prep.sources import arid, video_list
from data_prep.sources.video_list import SourceClip
from lift_flax.errors import UserError
from tests.support.video_files import link_videos

TRAIN, TEST, VALIDATION = "ARID1.1_t1_train_pub.csv", "ARID1.1_t1_test_pub.csv", "ARID1.1_t1_validation_gt_pub.csv"
UG2 = {
    TRAIN: "\ufeffVideoID,Video,ClassID\r\n0,Wave/Wave_10_1.mp4,10\r\n1,Run/Run_2_3.mp4,5\r\n",
    TEST: "VideoID,Video,ClassID\n0,0.mp4,5\n1,1.mp4,10\n",
}
DARKLIGHT = {"train_split1.txt": "Wave/Wave_10_1 71 10\nRun/Run_2_3 38 5\n", "val_split1.txt": "0 40 5\r\n1 64 10\r\n"}
NAMES = ["Wave/Wave_10_1.mp4", "Run/Run_2_3.avi", "test/0.mp4", "test/1.mp4"]


@pytest.fixture
def make(tmp_path: Path, tiny_videos):
    """Writes lists and videos, and returns their folders."""

    def write(texts: dict[str, str], names: list[str]) -> tuple[Path, Path]:
        for name, text in texts.items():
            (tmp_path / "lists").mkdir(exist_ok=True)
            (tmp_path / "lists" / name).write_bytes(text.encode())
        return tmp_path / "lists", link_videos(tmp_path / "videos", names, tiny_videos)

    return write


@pytest.mark.parametrize("texts", [UG2, DARKLIGHT, DARKLIGHT | {"mapping_table.txt": "5\tRun\n10\tWave\n"}])
def test_six_classes_and_anonymous_test_videos(make, texts, capsys):
    lists, videos = make(texts, NAMES)
    result = arid.read(lists, videos)
    assert result.classes == ["Run", "Wave"]
    assert result.clips == [
        SourceClip(videos / "Wave/Wave_10_1.mp4", 1, "Wave/Wave_10_1", "Wave_10"),
        SourceClip(videos / "Run/Run_2_3.avi", 0, "Run/Run_2_3", "Run_2"),
        SourceClip(videos / "test/0.mp4", 0, "test/0", ""),
        SourceClip(videos / "test/1.mp4", 1, "test/1", ""),
    ]
    assert result.folds == {"1": {"train": ["Wave/Wave_10_1", "Run/Run_2_3"], "test": ["test/0", "test/1"]}}
    video_list.note_counts(result)
    assert capsys.readouterr().out == (
        "fold 1 lists 2 train and 2 test clips; the official one has 1,837 and 1,289\n"
    )  # fmt: skip


@pytest.mark.parametrize("texts", [UG2, DARKLIGHT])
@pytest.mark.parametrize(
    ("train", "test"), [("", ""), ("train/", "test/"), ("train_data/", "test_data/"), ("", "validate/"), ("", "val/")]
)
def test_where_the_videos_may_be(make, texts, train, test):
    names = [f"{train}Wave/Wave_10_1.mp4", f"{train}Run/Run_2_3.mp4", f"{test}0.mp4", f"{test}1.mp4"]
    result = arid.read(*make(texts, names))
    assert [clip.id for clip in result.clips] == [name.removesuffix(".mp4") for name in names]
    assert [clip.group for clip in result.clips] == ["Wave_10", "Run_2", "", ""]


def test_rows_without_classes_are_neither_trained_nor_tested_on(make):
    """The validation videos have the names of test videos, and a folder of their own."""
    texts = UG2 | {VALIDATION: "VideoID,Video\n0,0.mp4\n7,7.mp4\n"}
    result = arid.read(*make(texts, [*NAMES, "validate/0.mp4", "validate/7.mp4"]))
    assert result.folds["1"] == {
        "train": ["Wave/Wave_10_1", "Run/Run_2_3"],
        "test": ["test/0", "test/1"],
        "other": ["validate/0", "validate/7"],
    }
    assert {clip.id: clip.label for clip in result.clips if clip.label < 0} == {"validate/0": -1, "validate/7": -1}
    assert result.counts()["1"]["other"] == {"Run": 0, "Wave": 0}
    assert result.without({"validate/0"}).official == result.official
    one_folder = {"validate/0.mp4", "validate/7.mp4", "test/0.mp4", "test/1.mp4"}
    lists, videos = make({}, [Path(name).name for name in one_folder if name != "validate/0.mp4"])
    for name in one_folder:
        (videos / name).unlink()
    with pytest.raises(UserError, match=f"0 is both in {TEST} and again in {VALIDATION}"):
        arid.read(lists, videos)


def test_version_15_and_the_folds_of_darklight(make, capsys):
    """Folds of numbers that the default lists do not have, videos as .mp4, no mapping table; counts of that version."""
    names = ["Wave/Wave_1_1.mp4", "Run/Run_1_1.mp4", "Wave/Wave_2_1.mp4", "Run/Run_2_1.mp4", "Run/Run_3_1.mp4"]
    rows = [f"{number}\t{10 if name[0] == 'W' else 5}\t{name}\n" for number, name in enumerate(names)]
    texts = {"split0_train.txt": rows[:2], "split0_test.txt": rows[2:4], "split0_others.txt": rows[4:]}
    lists, videos = make({name: "".join(text) for name, text in texts.items()}, names)
    result = arid.read(lists, videos)
    assert {split: len(ids) for split, ids in result.folds["0"].items()} == {"train": 2, "test": 2, "other": 1}
    video_list.note_counts(result)
    assert capsys.readouterr().out.endswith("the official one has 3,350 and 2,011\n")

    for path in lists.iterdir():
        path.unlink()
    lines = [f"{name.removesuffix('.mp4')} 50 {10 if name[0] == 'W' else 5}\n" for name in names]
    make({"train_rgb_split2.txt": "".join(lines[:2]), "test_rgb_split2.txt": "".join(lines[2:4])}, [])
    result = arid.read(lists, videos)
    assert list(result.folds) == ["2"] and len(result.clips) == 4
    video_list.note_counts(result)
    assert capsys.readouterr().out.endswith("the official one has 2,252 and 859\n")


HEADER = "VideoID,Video,ClassID\n"
OFFICIAL = {"ARID_split1_train.txt": "0\t5\tRun/Run_2_3.avi\n", "ARID_split1_test.txt": "0\t5\ttest/0.mp4\n"}


@pytest.mark.parametrize(("texts", "names", "message"), [
    ({"notes.txt": ""}, NAMES, r"no ARID_split1_train.txt in .*, nor a \*_train_pub.csv of UG2\+, nor DarkLight's"),
    (UG2 | DARKLIGHT, NAMES, f"lists of two kinds, {TEST} and train_split1.txt; keep those of one kind"),
    (UG2 | OFFICIAL, NAMES, f"lists of two kinds, ARID_split1_test.txt and {TEST}"),
    (OFFICIAL | {"split1_test.txt": ""}, NAMES, "are both the test list of fold 1; keep one"),
    ({TRAIN: UG2[TRAIN]}, NAMES, rf"{TRAIN} has no \*_test_pub.csv beside it in .*; add it"),
    ({TEST: UG2[TEST]}, NAMES, rf"{TEST} has no \*_train_pub.csv beside it in .*; add it"),
    (UG2 | {"ARID1.1_t2_test_pub.csv": UG2[TEST]}, NAMES, "are both test lists; keep one of them"),
    (UG2 | {TEST: "VideoID,Name,ClassID\n0,0.mp4,5\n"}, NAMES, "has no column Video; its first line must be VideoID"),
    (UG2 | {TEST: ""}, NAMES, "has no column Video"),
    (UG2 | {TEST: HEADER}, NAMES, "fold 1 has no test clip"),
    (UG2 | {TEST: "VideoID,Video\n0,0.mp4\n"}, NAMES, "has no column ClassID; give a test list that has one"),
    (UG2 | {TEST: HEADER + "0,0.mp4,5\n1,1.mp4,\n"}, NAMES, "line 3: expected 'VideoID,Video,ClassID', got '1,1.mp4,'"),
    (UG2 | {TEST: HEADER + "0,0.mp4\n"}, NAMES, "line 2: expected 'VideoID,Video,ClassID'"),
    (UG2 | {TEST: HEADER + "0,a,b.mp4,5\n"}, NAMES, "line 2: expected 'VideoID,Video,ClassID'"),
    (UG2 | {TEST: HEADER + "0,,5\n"}, NAMES, "line 2: expected 'VideoID,Video,ClassID'"),
    (UG2 | {TEST: HEADER + "0,0.mp4,11\n"}, NAMES, "line 2: class id 11 is not in ARID's classes 0 to 10"),
    (UG2 | {"mapping_table_t1.txt": "10\tWave\n"}, NAMES, "class id 5 is not in mapping_table_t1.txt"),
    (UG2 | {TEST: HEADER + "0,Sit/0.mp4,5\n"}, NAMES, "line 2: Sit/0.mp4 has class 5, which is Run in ARID's classes"),
    (UG2 | {TEST: HEADER + '0,"0' + 200_000 * "x"}, NAMES, f"{TEST} is not a CSV file .*; give the official list"),
    (UG2, [*NAMES[:2], "test/1.mp4"], "1 of 4 videos named in .* are not in .*, the first is 0;"),
    (UG2, NAMES[2:], "2 of 4 videos named in .* are not in .*, the first is Wave/Wave_10_1;"),
    (UG2, [*NAMES, "0.mp4"], r"0 exists twice: .*/videos/0.mp4 and .*/videos/test/0.mp4; keep one"),
    (UG2, [*NAMES, "val/0.mp4"], r"test/0 exists twice: .*/test/0.mp4 and .*/val/0.mp4; keep one"),
    (UG2, [*NAMES, "train/Run/Run_2_3.mp4"], r"Run/Run_2_3 exists twice: .*/Run/Run_2_3.avi and .*/train/Run"),
    (UG2, [*NAMES, "test/0.avi"], "test/0 exists twice"),
    (UG2 | {TEST: UG2[TEST] + "2,0.mp4,5\n"}, NAMES, f"test/0 is both in {TEST} and again in {TEST}"),
    (UG2 | {TEST: HEADER + "0,Wave/Wave_10_2.mp4,10\n"}, [*NAMES, "Wave/Wave_10_2.mp4"], "group Wave_10 is on both"),
    ({"train_split1.txt": DARKLIGHT["train_split1.txt"]}, NAMES, "train_split1.txt has no val_split1.txt beside it"),
    ({"val_split1.txt": DARKLIGHT["val_split1.txt"]}, NAMES, "val_split1.txt has no train_split1.txt beside it"),
    (DARKLIGHT | {"test_split1.txt": "0 40 5\n"}, NAMES, "are both the test list of fold 1; keep one"),
    (DARKLIGHT | {"val_split1.txt": "0 5\n"}, NAMES, "line 1: expected 'path frames class_id', got '0 5'"),
    (DARKLIGHT | {"val_split1.txt": "0 40 Run\n"}, NAMES, "line 1: expected 'path frames class_id'"),
    (DARKLIGHT | {"val_split1.txt": "0 40 12\n"}, NAMES, "line 1: class id 12 is not in ARID's classes 0 to 10"),
    (DARKLIGHT | {"val_split1.txt": "Sit/0 40 5\n"}, NAMES, "line 1: Sit/0 has class 5, which is Run"),
    (DARKLIGHT | {"val_split1.txt": "0 40 5\n9 40 5\n"}, NAMES, "1 of 4 videos named in .*, the first is 9;"),
])  # fmt: skip
def test_refused_in_one_line(make, texts, names, message):
    lists, videos = make(texts, names)
    with pytest.raises(UserError, match=message) as caught:
        arid.read(lists, videos)
    assert "\n" not in str(caught.value)


def test_other_text_than_utf8_is_named(make):
    lists, videos = make(UG2, NAMES)
    (lists / TEST).write_bytes(b"\xff\xfeV\x00i\x00")
    with pytest.raises(UserError, match=f"{TEST} is not a CSV file"):
        arid.read(lists, videos)
    with pytest.raises(UserError, match="give the folder of the lists"):
        arid.read(lists / "nowhere", videos)
