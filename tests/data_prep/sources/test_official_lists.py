"""The official lists of UCF101, HMDB51 and ARID, and InfAR's drawn split, on trees of videos with the real names."""

import collections
import random
import re
from pathlib import Path

import pytest

from data_prep.sources import arid, arid_ug2, darklight, hmdb51, infar, ucf101, video_list
from data_prep.sources.video_list import VideoList
from lift_flax.errors import UserError
from lift_flax.video import decode
from tests.support.video_files import link_videos


def _touch(root: Path, *names: str) -> Path:
    """Empty files: readers look at names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _sizes(videos: VideoList) -> dict[str, tuple[int, ...]]:
    return {fold: tuple(len(splits[s]) for s in splits) for fold, splits in videos.folds.items()}


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


@pytest.fixture
def ucf(tmp_path: Path) -> tuple[Path, Path]:
    """Two classes, one fold; the lists say HandStandPushups, the disk says HandstandPushups."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"1 Archery\r\n2 HandStandPushups\r\n")
    train = "Archery/v_Archery_g08_c01.avi 1\r\nHandStandPushups/v_HandStandPushups_g08_c01.avi 2\r\n"
    (lists / "trainlist01.txt").write_bytes(train.encode())
    (lists / "testlist01.txt").write_text(
        "Archery/v_Archery_g01_c01.avi\nHandStandPushups/v_HandStandPushups_g01_c02.avi\n"
    )
    videos = _touch(
        tmp_path / "UCF-101", "Archery/v_Archery_g08_c01.avi", "Archery/v_Archery_g01_c01.avi",
        "HandstandPushups/v_HandStandPushups_g08_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.mp4",
    )  # fmt: skip
    return lists, videos


def test_ucf101_matches_names_without_case(ucf, capsys):
    videos = ucf101.read(*ucf)
    assert videos.classes == ["Archery", "HandStandPushups"] and _sizes(videos) == {"1": (2, 2)}
    by_id = {clip.id: clip for clip in videos.clips}
    clip = by_id["HandstandPushups/v_HandStandPushups_g01_c02"]
    assert clip.label == 1 and clip.group == "HandstandPushups/v_HandStandPushups_g01" and clip.path.is_file()
    assert videos.folds["1"]["test"] == ["Archery/v_Archery_g01_c01", clip.id]
    video_list.note_counts(videos)
    assert capsys.readouterr().out == (
        "fold 1 lists 2 train and 2 test clips; the official one has 9,537 and 3,783\n"
    )  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), [
    ("classInd.txt", "0 Archery\n", "line 1: expected '1 name'"),
    ("trainlist01.txt", "Archery/v_Archery_g08_c01.avi 2\n", "has class 2, but Archery is 1"),
    ("trainlist01.txt", "Juggling/v_Juggling_g08_c01.avi 1\n", "line 1: Juggling is not in classInd.txt"),
    ("testlist01.txt", "Archery/v_Archery_g99_c01.avi\n", "1 of 3 videos .* the first is Archery/v_Archery_g99"),
    ("testlist01.txt", None, "no testlist01.txt in"),
    ("trainlist01.txt", None, r"no trainlist01.txt \(nor 02, nor 03\)"),
])  # fmt: skip
def test_ucf101_refuses(ucf, name, text, message):
    (ucf[0] / name).unlink()
    if text is not None:
        (ucf[0] / name).write_text(text)
    with pytest.raises(UserError, match=message):
        ucf101.read(*ucf)


HOSTILE = "A_(b)_[c];_'d'_&_e!_#f_clap_u_nm_np1_fr_goo_0.avi"


@pytest.fixture
def hmdb(tmp_path: Path) -> tuple[Path, Path]:
    """Two classes, two folds, and names that a shell would not survive."""
    lists = tmp_path / "lists"
    lists.mkdir()
    clap = [HOSTILE, "x_clap_u_nm_np1_fr_goo_1.avi", "y z_clap_f_cm_np2_ba_bad_0.avi"]
    wave = [f"{source}_wave_u_cm_np1_ba_med_{i}.avi" for i, source in enumerate("abc")]
    for fold, tags in (("1", "120"), ("2", "201")):
        for name, clips in (("clap", clap), ("wave", wave)):
            lines = [f"{clip} {tag} " for clip, tag in zip(clips, tags, strict=True)]
            (lists / f"{name}_test_split{fold}.txt").write_text("\n".join(lines) + "\n")
    return lists, _touch(tmp_path / "videos", *[f"clap/{c}" for c in clap], *[f"wave/{c}" for c in wave])


def test_hmdb51_tags_and_names(hmdb):
    videos = hmdb51.read(*hmdb)
    assert videos.classes == ["clap", "wave"] and _sizes(videos) == {"1": (2, 2, 2), "2": (2, 2, 2)}
    clip = videos.clips[0]
    assert clip.path.name == HOSTILE and clip.group == "clap/A_(b)_[c];_'d'_&_e!_#f_clap"
    assert videos.folds["1"]["train"] == [clip.id, "wave/a_wave_u_cm_np1_ba_med_0"]
    assert videos.folds["1"]["other"] == ["clap/y z_clap_f_cm_np2_ba_bad_0", "wave/c_wave_u_cm_np1_ba_med_2"]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("clap_test_split1.txt", "x.avi 3\n", "line 1: expected 'video tag' with a tag of 0, 1 or 2"),
    ("clap_test_split1.txt", None, "no clap_test_split1.txt in .*, but other classes have one"),
    ("clap_test_split1.txt", "gone.avi 1\n", "the first is clap/gone"),
])  # fmt: skip
def test_hmdb51_refuses(hmdb, name, text, message):
    (hmdb[0] / name).unlink()
    if text is not None:
        (hmdb[0] / name).write_text(text)
    with pytest.raises(UserError, match=message):
        hmdb51.read(*hmdb)


def test_infar_draws_the_same_share_of_every_class(tmp_path, capsys):
    videos = _touch(tmp_path / "v", *[f"c{k:02}/{i}.avi" for k in range(12) for i in range(50)])
    result = infar.read(videos, seed=7)
    assert _sizes(result) == {"1": (360, 240)} and capsys.readouterr().out == ""
    label_of = {clip.id: clip.label for clip in result.clips}
    assert set(collections.Counter(label_of[i] for i in result.folds["1"]["test"]).values()) == {20}
    assert infar.read(videos, seed=7) == result and infar.read(videos, seed=8).folds != result.folds
    (tmp_path / "list.csv").write_text(
        "path,label\n" + "".join(f"c00/{i}.avi,fight\nc01/{i}.avi,hug\n" for i in range(50))
    )
    listed = infar.read(videos, csv_file=tmp_path / "list.csv")
    assert listed.classes == ["fight", "hug"] and _sizes(listed) == {"1": (60, 40)}
    assert "has 2 classes; InfAR has 12" in capsys.readouterr().out


def _check_official(videos: VideoList, capsys: pytest.CaptureFixture) -> None:
    """The counts are the official ones, no group is on both sides, and videos anywhere in the tree decode."""
    video_list.note_counts(videos)
    assert videos.official and capsys.readouterr().out == ""
    group_of = {clip.id: clip.group for clip in videos.clips}
    for splits in videos.folds.values():
        train, test = ({group_of[id] for id in splits[split]} - {""} for split in ("train", "test"))
        assert train and not train & test
    for clip in random.Random(0).sample(videos.clips, 5):
        frames = decode.decode_frames(clip.path)  # [T, H, W, 3]
        assert frames.shape[1:] == (32, 32, 3) and len(frames) in (2, 3, 4) and frames.std() > 1


def test_official_ucf101_lists(real_data, tmp_path, tiny_videos, capsys):
    lists = real_data / "annotations" / "ucf101"
    names = {
        line.split()[0]: None
        for k in (1, 2, 3)
        for s in ("train", "test")
        for line in _lines(lists / f"{s}list0{k}.txt")
    }
    videos = ucf101.read(lists, link_videos(tmp_path, names, tiny_videos))
    assert _sizes(videos) == {"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}
    assert len(videos.classes) == 101 and len(videos.clips) == 13320
    _check_official(videos, capsys)


def test_official_arid_lists(real_data, tmp_path, tiny_videos, capsys):
    lists = real_data / "annotations" / "arid_v1"
    names = {line.split("\t")[2]: None for path in sorted(lists.glob("ARID_split*.txt")) for line in _lines(path)}
    videos = arid.read(lists, link_videos(tmp_path, names, tiny_videos))
    assert _sizes(videos) == {"1": (2288, 823, 673), "2": (2252, 859, 673), "3": (2259, 852, 673)}
    assert len(videos.clips) == 3784 and all(clip.group for clip in videos.clips)
    assert videos.classes == [line.split("\t")[1] for line in _lines(lists / "mapping_table.txt")]
    _check_official(videos, capsys)


def test_official_ug2_lists(real_data, tmp_path, tiny_videos, capsys):
    """Six of ARID's classes; the test videos have numbers for names and are in a folder of their own."""
    lists = real_data / "annotations" / "arid_ug2"
    rows = {split: _lines(lists / f"ARID1.1_t1_{split}_pub.csv")[1:] for split in ("train", "test")}
    assert all(line.count(",") == 2 for lines in rows.values() for line in lines)
    names = [line.split(",")[1] for line in rows["train"]] + [f"test/{line.split(',')[1]}" for line in rows["test"]]
    videos = arid.read(lists, link_videos(tmp_path, names, tiny_videos))
    assert _sizes(videos) == {"1": (1837, 1289)} == arid_ug2.COUNTS
    assert videos.classes == ["Run", "Sit", "Stand", "Turn", "Walk", "Wave"]
    assert list(videos.counts()["1"]["train"].values()) == [335, 214, 232, 389, 353, 314]
    assert list(videos.counts()["1"]["test"].values()) == [206, 192, 159, 228, 256, 248]
    assert videos.folds["1"]["test"][:2] == ["test/0", "test/1"] and len(videos.clips) == 1837 + 1289
    _check_official(videos, capsys)


def test_official_darklight_list(real_data, tmp_path, tiny_videos, capsys):
    """The train list as it is; the test list written from UG2+'s, as its authors do."""
    lists = tmp_path / "lists"
    lists.mkdir()
    text = (real_data / "annotations" / "darklight" / "train_split1.txt").read_text()
    (lists / "train_split1.txt").write_text(text)
    rows = _lines(real_data / "annotations" / "arid_ug2" / "ARID1.1_t1_test_pub.csv")[1:]
    test = [(line.split(",")[1].removesuffix(".mp4"), line.split(",")[2]) for line in rows]
    (lists / "val_split1.txt").write_text("".join(f"{name} 40 {class_id}\n" for name, class_id in test))
    names = [f"{line.split()[0]}.mp4" for line in text.splitlines()] + [f"val/{name}.mp4" for name, _ in test]
    videos = arid.read(lists, link_videos(tmp_path / "videos", names, tiny_videos))
    assert _sizes(videos) == {"1": (1837, 1289)} == darklight.COUNTS
    assert list(videos.counts()["1"]["train"].values()) == [335, 214, 232, 389, 353, 314]
    _check_official(videos, capsys)


def test_official_hmdb51_lists(real_data, tmp_path, tiny_videos, capsys):
    """The 153 official files, written from flat lists of fold 1 that name the class by number."""
    flat = real_data / "annotations" / "hmdb51_flat"
    lists, rows = tmp_path / "lists", {}
    lists.mkdir()
    for split, tag in (("train", 1), ("val", 2)):
        for line in _lines(flat / f"hmdb51_flow_{split}_split_1.txt"):
            path, _, label = line.rsplit(" ", 2)
            rows.setdefault(int(label), []).append((path.split("/", 2)[2], tag))
    for fold in (1, 2, 3):
        for label, clips in rows.items():
            text = "".join(f"{clip}.avi {tag} \n" for clip, tag in clips)
            (lists / f"class{label:02}_test_split{fold}.txt").write_text(text)
    assert len(list(lists.iterdir())) == 153
    names = [f"class{k:02}/{clip}.avi" for k, clips in rows.items() for clip, _ in clips]
    videos = hmdb51.read(lists, link_videos(tmp_path / "v", names, tiny_videos))
    assert _sizes(videos) == {fold: (3570, 1530, 0) for fold in "123"} and len(videos.classes) == 51
    assert all(re.fullmatch(r"class\d\d/.+", clip.group) for clip in videos.clips)
    _check_official(videos, capsys)
