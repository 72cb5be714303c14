"""An audit names every file that is bad or odd, and draws what is in a folder."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import build
from data_prep.audit import __main__ as audit
from lift_flax.errors import UserError
from tests.support.containers import damaged_videos
from tests.support.video_files import write_numbered


def test_folder_of_odd_files(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for split in ("train", "test"):
        (tmp_path / "videos" / split / "a").mkdir(parents=True)
    expected = damaged_videos.odd_files(tmp_path / "videos" / "train" / "a")
    shutil.copy(tmp_path / "videos/train/a/plain.mp4", tmp_path / "videos/test/a/copy.mp4")
    write_numbered(tmp_path / "videos" / "test" / "b" / "new.mp4", 20)
    audit.main([str(tmp_path / "videos"), "--out", str(tmp_path / "out"), "--workers", "1"])
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    listed = [name for name in expected if Path(name).suffix != ".h264"]  # no video by its name
    assert report["files"] == len(listed) + 2
    said = {Path(name).name: words for name, words in report["bad"].items()}
    said |= {Path(name).name: "; ".join(words) for name, words in report["odd"].items()}
    for name in listed:
        assert expected[name] in said.get(name, "") and (expected[name] or name not in said)
    pairs = report["in_train_and_test"]["1"]
    assert pairs == [["train/a/duration.mp4", "test/a/copy.mp4"]]  # the first of them
    (copies,) = (names for names in report["copies"] if "test/a/copy.mp4" in names)
    assert {"train/a/plain.mp4", "train/a/really.avi", "train/a/duration.mp4"} < set(copies)
    new = report["clips"]["test/b/new.mp4"]
    assert (new["split"], new["class"], new["num_frames"], new["width"], new["height"]) == ("test", "b", 20, 96, 64)
    printed = capsys.readouterr().out
    assert "bad  train/a/zero.mp4: empty (zero bytes)" in printed and "in train and test" in printed
    sheet = np.asarray(Image.open(tmp_path / "out" / "contact_sheet.png"))
    assert sheet.shape[0] > 300 and sheet.std() > 20
    assert np.asarray(Image.open(tmp_path / "out" / "luma.png")).shape[1] > 1000  # a panel for each split


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("codec", ["h264", "jpeg", "original"])
def test_records(tmp_path: Path, codec: str) -> None:
    for number in range(6):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 10 + number)
    out = tmp_path / "records"
    build.main(["folder", "--videos", str(tmp_path / "videos"), "--out", str(out), "--codec", codec, "--flow"])
    report = audit.audit_folder(out, tmp_path / "out", workers=1, time_limit=60)
    assert report["files"] == 6 and not report["bad"] and not report["odd"] and not report["in_train_and_test"]
    assert {clip["num_frames"] for clip in report["clips"].values()} == set(range(10, 16))
    assert {clip["split"] for clip in report["clips"].values()} == {"train", "test"}
    levels = [sum(clip["luma"]) for clip in report["clips"].values()]
    np.testing.assert_allclose(levels, 1, atol=1e-3)

    (shard,) = (out / "folder" / "1.0.0").glob("*.array_record*")
    data = bytearray(shard.read_bytes())
    (used,) = np.nonzero(np.frombuffer(bytes(data), np.uint8))
    for at in used[len(used) // 4 : len(used) // 2]:  # in the midst of the records
        data[at] = 0
    shard.write_bytes(data)
    report = audit.audit_folder(
        out, tmp_path / "out", workers=1, time_limit=60
    )  # an audit of the same folder is replaced
    assert report["bad"]


@pytest.mark.usefixtures("in_process")
def test_a_folder_without_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Every reason is shown and written; pictures of an audit that drew some are gone."""
    write_numbered(tmp_path / "videos" / "a" / "1.mp4", 5)
    (tmp_path / "videos" / "b").mkdir()
    (tmp_path / "videos" / "b" / "2.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\n")
    audit.audit_folder(tmp_path / "videos", tmp_path / "out", workers=1, time_limit=60)
    assert (tmp_path / "out" / "luma.png").exists()
    (tmp_path / "videos" / "a" / "1.mp4").write_bytes(b"")
    audit.main([str(tmp_path / "videos"), "--out", str(tmp_path / "out"), "--workers", "1"])
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert list(report["bad"]) == ["a/1.mp4", "b/2.mp4"] and report["clips"] == {}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit.json"]
    printed = capsys.readouterr().out
    assert "bad  a/1.mp4: empty (zero bytes)" in printed and "bad  b/2.mp4: a Git LFS pointer" in printed
    assert f"none of 2 decodes whole; see {tmp_path / 'out' / 'audit.json'}" in printed


@pytest.mark.usefixtures("in_process")
def test_records_without_their_files(tmp_path: Path) -> None:
    """Clips whose file is gone are bad; records that cannot be opened are one error."""
    for number in range(4):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 5)
    build.main(["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "records")])
    (shard,) = (tmp_path / "records").rglob("*.array_record*")
    shard.unlink()
    report = audit.audit_folder(tmp_path / "records", tmp_path / "out", workers=1, time_limit=60)
    assert len(report["bad"]) == report["files"] == 4
    (tmp_path / "records" / "folder" / "1.0.0" / "features.json").unlink()
    with pytest.raises(UserError, match=r"1\.0\.0 is missing or damaged \(.*\): build the records again"):
        audit.audit_folder(tmp_path / "records", tmp_path / "out", workers=1, time_limit=60)


def test_names_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """As of an archive that was packed elsewhere: each is named with its bytes, and audited like the others."""
    for folder in (b"sit", b"sm\xf6rg\xe5s"):
        for number, name in enumerate(b"caf\xe9_%d.mp4" % number for number in range(3)):
            path = tmp_path / "videos" / os.fsdecode(folder) / os.fsdecode(name)
            write_numbered(path, 5 + number) if number < 2 else path.write_bytes(b"not a video")
    audit.main([str(tmp_path / "videos"), "--out", str(tmp_path / "out"), "--workers", "1"])
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert list(report["bad"]) == [r"sit/caf\xe9_2.mp4", r"sm\xf6rg\xe5s/caf\xe9_2.mp4"]
    assert {clip["class"] for clip in report["clips"].values()} == {"sit", r"sm\xf6rg\xe5s"}
    (note,) = report["odd"][r"sm\xf6rg\xe5s/caf\xe9_0.mp4"]
    assert note.endswith("it has a line break or bytes that are not UTF-8; rename it, or build refuses it")
    assert r"sit/caf\xe9_2.mp4: not a video" in capsys.readouterr().out
    assert (tmp_path / "out" / "luma.png").exists() and (tmp_path / "out" / "contact_sheet.png").exists()
    with pytest.raises(UserError, match=r"sm.xf6rg.xe5s' has a line break, a tab or bytes that are not UTF-8"):
        build.main(["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "records")])


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        audit.main([str(tmp_path / "nowhere")])
    write_numbered(tmp_path / "videos" / "a" / "1.mp4", 5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(UserError, match="out holds something else than an audit of"):
        audit.main([str(tmp_path / "videos"), "--out", str(tmp_path / "out")])
    with pytest.raises(UserError, match="cannot make /proc/none"):
        audit.main([str(tmp_path / "videos"), "--out", "/proc/none"])
    with pytest.raises(UserError, match="'0' is not a whole number of at least 1"):
        audit.main([str(tmp_path / "videos"), "--workers", "0"])
