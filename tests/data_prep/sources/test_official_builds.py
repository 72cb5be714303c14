"""Official formats through the command that a user types, on real videos: the records hold exactly what is listed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import build
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.video.decode import decode_frames
from tests.support.video_files import link_videos

pytestmark = pytest.mark.usefixtures("in_process")


def _build(*args: str | Path) -> None:
    build.main([*map(str, args), "--workers", "1"])


def _labels(out: Path, source: str) -> dict[str, int]:
    """Id -> label of every record; each must decode and agree with folds.json in its place."""
    listed = json.loads((out / "folds.json").read_text())["clips"]
    found = {}
    for clip, record in zip(
        listed, tfds.builder_from_directory(str(out / source / "1.0.0")).as_data_source("all"), strict=True
    ):
        assert clip["id"] == record["id"].decode() and clip["label"] == record["label"]
        assert clip["group"] == record["group"].decode()
        assert len(decode_frames(record["video"])) == record["num_frames"] in (2, 3, 4)
        found[clip["id"]] = int(record["label"])
    assert len(found) == len(listed)
    return found


HOSTILE = [
    "-rf_clap_u_nm_np1_fr_goo_0.avi",
    "#1 fan;_[a]_(b)_{c}_clap_u_nm_np1_fr_goo_0.avi",
    "'q'_\"qq\"_&_e!_$HOME_`x`_clap_u_nm_np1_fr_goo_0.avi",
    "%03d_*?_~_a=b,c|d<e>_clap_u_nm_np1_fr_goo_0.avi",
    "a:b_http:__x_\\n_clap_u_nm_np1_fr_goo_0.avi",
    "höhe_日本_é_\u2028_\u00a0_clap_u_nm_np1_fr_goo_0.avi",
    "two  blanks 1 2_clap_u_nm_np1_fr_goo_0.avi",
    "dots.in.avi.name_clap_u_nm_np1_fr_goo_0.avi",
]


def test_hmdb51_with_names_of_every_kind(tmp_path, tiny_videos, capsys):
    classes = {"clap": HOSTILE, "shoot_ball": [name.replace("clap", "shoot_ball") for name in HOSTILE]}
    (tmp_path / "lists").mkdir()
    for name, videos in classes.items():
        lines = [f"{video} {number % 2 + 1} " for number, video in enumerate(videos)]
        (tmp_path / "lists" / f"{name}_test_split1.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = [f"{name}/{video}" for name, videos in classes.items() for video in videos]
    videos = link_videos(tmp_path / "v", names, tiny_videos)
    _build("hmdb51", "--videos", videos, "--lists", tmp_path / "lists", "--out", tmp_path / "out")
    assert "fold 1 lists 8 train and 8 test clips; the official one has 3,570 and 1,530" in capsys.readouterr().out
    labels = _labels(tmp_path / "out", "hmdb51")
    assert labels == {name.removesuffix(".avi"): int(name.startswith("shoot_ball/")) for name in names}
    opened = open_records(str(tmp_path / "out"))
    ids = [name.removesuffix(".avi") for name in names]
    assert (opened.split(1, "train"), opened.split(1, "test")) == (ids[0::2], ids[1::2])


def test_ucf101_with_its_quirks(tmp_path, tiny_videos, capsys):
    """Windows line ends in the class list; lists and folders write HandstandPushups differently."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"1 Archery\r\n2 HandstandPushups\r\n")
    names = [
        f"{c}/v_{c}_g{g:02}_c0{k}.avi" for c in ("Archery", "HandStandPushups") for g, k in ((1, 1), (8, 1), (8, 2))
    ]
    train = [f"{name} {1 if name[0] == 'A' else 2}\r\n" for name in names if "_g08" in name]
    (lists / "trainlist01.txt").write_bytes("".join(train).encode())
    (lists / "testlist01.txt").write_text("".join(f"{name}\n" for name in names if "_g01" in name))
    on_disk = [name.replace("HandStandPushups/", "HandstandPushups/") for name in names]
    _build(
        "ucf101", "--videos", link_videos(tmp_path / "v", on_disk, tiny_videos), "--lists", lists,
        "--out", tmp_path / "out",
    )  # fmt: skip
    ids = {name.removesuffix(".avi"): int(name[0] == "H") for name in on_disk}
    assert _labels(tmp_path / "out", "ucf101") == ids
    opened = open_records(str(tmp_path / "out"))
    assert opened.classes == ("Archery", "HandstandPushups")
    assert opened.split(1, "test") == [id for id in ids if "_g01" in id]


def test_infar_keeps_its_seed(tmp_path, tiny_videos, capsys):
    """A CSV of path and label; the seed of the draw is in the report, and another seed is another build."""
    names = [f"clips/{number}.avi" for number in range(10)]
    videos = link_videos(tmp_path / "v", names, tiny_videos)
    rows = [f"{name},{'fight' if number % 2 else 'handshake'}\n" for number, name in enumerate(names)]
    (tmp_path / "infar.csv").write_text("path,label\n" + "".join(rows))
    flags = ["infar", "--videos", videos, "--csv", tmp_path / "infar.csv"]
    splits = {}
    for seed in (3, 4):
        out = tmp_path / f"out{seed}"
        _build(*flags, "--out", out, "--seed", seed)
        report = json.loads((out / "prep_report.json").read_text())
        assert (report["settings"]["seed"], report["settings"]["test_share"]) == (seed, 0.4)
        assert report["counts"]["1"] == {"train": {"fight": 3, "handshake": 3}, "test": {"fight": 2, "handshake": 2}}
        numbers = {f"clips/{number}": 1 - number % 2 for number in range(10)}
        assert _labels(out, "infar") == numbers
        splits[seed] = open_records(str(out)).folds
    assert splits[3] != splits[4]
    with pytest.raises(UserError, match=r"was built with seed 3 \(now 4\)"):
        _build(*flags, "--out", tmp_path / "out3", "--seed", 4)


def test_ug2_with_clips_of_unknown_class(tmp_path, tiny_videos, capsys):
    """Validation videos have label -1 in the records, and no training or test batch ever holds one."""
    lists = tmp_path / "lists"
    lists.mkdir()
    train = [f"{name}/{name}_{group}_{k}.mp4" for name in ("Run", "Wave") for group in (1, 2) for k in (1, 2)]
    ids = {"Run": 5, "Wave": 10}
    rows = [f"{number},{name},{ids[name.split('/')[0]]}\r\n" for number, name in enumerate(train)]
    (lists / "ARID1.1_t1_train_pub.csv").write_bytes(("VideoID,Video,ClassID\r\n" + "".join(rows)).encode())
    (lists / "ARID1.1_t1_test_pub.csv").write_text("VideoID,Video,ClassID\n0,0.mp4,10\n1,1.mp4,5\n")
    (lists / "ARID1.1_t1_validation_gt_pub.csv").write_text("VideoID,Video\n0,0.mp4\n1,1.mp4\n")
    names = [*train, *(f"{folder}/{number}.mp4" for folder in ("test", "val") for number in (0, 1))]
    out = tmp_path / "out"
    _build("arid", "--videos", link_videos(tmp_path / "v", names, tiny_videos), "--lists", lists, "--out", out)
    shown = capsys.readouterr().out
    assert (
        "fold 1 lists 8 train and 2 test clips; the official one has 1,837 and 1,289" in shown and "2,288" not in shown
    )

    labels = _labels(out, "arid")
    known = {name.removesuffix(".mp4"): int(name.startswith("Wave")) for name in train}
    assert labels == known | {"test/0": 1, "test/1": 0, "val/0": -1, "val/1": -1}
    assert "tensorflow" not in sys.modules
    report = json.loads((out / "prep_report.json").read_text())
    assert report["counts"]["1"]["other"] == {"Run": 0, "Wave": 0}
    assert np.isfinite([*report["mean_luma"]["classes"].values(), *report["mean_luma"]["percentiles"].values()]).all()
    opened = open_records(str(out))
    training, validation = opened.train_and_validation(1, 0.25, seed=0)
    assert sorted([*training, *validation]) == sorted(known) and validation
    assert opened.split(1, "test") == ["test/0", "test/1"] and opened.split(1, "other") == ["val/0", "val/1"]
    assert {opened.index[id].label for id in opened.split(1, "other")} == {-1}


def test_darklight_lists(tmp_path, tiny_videos, capsys):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train_split1.txt").write_text("Run/Run_1_1 30 5\nWave/Wave_1_1 40 10\n")
    (lists / "val_split1.txt").write_text("0 30 5\n")
    videos = link_videos(tmp_path / "v", ["Run/Run_1_1.avi", "Wave/Wave_1_1.mp4", "test_data/0.mp4"], tiny_videos)
    _build("arid", "--videos", videos, "--lists", lists, "--out", tmp_path / "out")
    assert "the official one has 1,837 and 1,289" in capsys.readouterr().out
    assert _labels(tmp_path / "out", "arid") == {"Run/Run_1_1": 0, "Wave/Wave_1_1": 1, "test_data/0": 0}
