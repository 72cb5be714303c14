"""From encoded videos to records and back, by the command a user types."""

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import build, staging
from lift_flax.errors import UserError
from lift_flax.video import decode, sampling
from lift_flax.video.inspection import inspect_video
from tests.support.build_tools import read_records, run_build, whole_clips
from tests.support.video_files import read_numbers, write_numbered


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of three clips in class folders: 10 to 15 numbered frames."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(6):
        write_numbered(root / "ab"[number % 2] / f"g{number // 2}_{number}.mp4", 10 + number, fps=20)
    return root


def test_build_end_to_end(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_build("folder", "--videos", videos, "--out", out, "--group-regex", "(g.)_", "--test-share", "0.3")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"--config.data.dir={out} --workdir=" in done.stdout and "note:" not in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["folder", "folds.json", "prep_report.json"]

    records = read_records(out)
    assert "tensorflow" not in sys.modules
    assert sorted(records) == ["a/g0_0", "a/g1_2", "a/g2_4", "b/g0_1", "b/g1_3", "b/g2_5"]
    for id, record in records.items():
        number = int(id[-1])
        assert record["label"] == number % 2
        assert record["group"].decode() == f"g{number // 2}"
        assert record["num_frames"] == 10 + number
        assert record["fps"] == 20 and record["seconds"] == pytest.approx((10 + number) / 20)
        np.testing.assert_allclose(record["times"], np.arange(10 + number) / 20, atol=1e-6)
        assert read_numbers(decode.decode_frames(record["video"])) == list(range(10 + number))
    features = tfds.builder_from_directory(str(out / "folder" / "1.0.0")).info.features
    assert sorted(features) == ["flow", "fps", "group", "id", "label", "num_frames", "seconds", "times", "video"]
    assert features["label"].names == ["a", "b"]
    assert features["num_frames"].np_dtype == np.int32 and features["fps"].np_dtype == np.float32

    folds = json.loads((out / "folds.json").read_text())
    assert folds["classes"] == ["a", "b"] and list(folds["folds"]) == ["1"]
    assert sorted(folds["folds"]["1"]["train"] + folds["folds"]["1"]["test"]) == sorted(records)
    assert folds["clips"] == [
        {
            "id": id,
            "label": record["label"],
            "group": record["group"].decode(),
            "content": inspect_video(videos / f"{id}.mp4").content,
            "seconds": pytest.approx(float(record["seconds"]), abs=1e-3),
        }
        for id, record in records.items()
    ], "in the order of the records"
    report = json.loads((out / "prep_report.json").read_text())
    assert report["counts"] == {"1": {"train": {"a": 2, "b": 2}, "test": {"a": 1, "b": 1}}}
    assert (
        report["settings"] | {"crf": 18, "gop": 8, "size": 256, "max_frames": 300, "codec": "h264"}
        == report["settings"]
    )
    assert report["rejected"] == [] and set(report["versions"]) == {"av", "tensorflow-datasets"}
    luma = [decode.decode_frames(record["video"]).mean() for record in records.values()]
    assert report["mean_luma"]["percentiles"]["50"] == pytest.approx(np.median(luma), abs=2)
    sizes = {part: sum(len(record[part]) for record in records.values()) for part in ("video", "flow")}
    assert (report["frames"], report["bytes"]) == (75, sum(sizes.values()))
    assert report["flow"]["bytes"] == sizes["flow"] and report["flow"]["seconds"] >= 0
    codes = np.concatenate([decode.decode_flow(record["flow"]) for record in records.values()]).astype(np.float64) - 128
    assert report["flow"]["rms_pixels"] == pytest.approx(np.sqrt(np.square(codes).mean()) * 20 / 127, rel=0.05)
    assert f"optical flow: {sizes['flow'] / 1e6:.1f} of " in done.stdout
    durations = report["durations"]
    assert durations["all"] == 3.75 and durations["percentiles"]["50"] == pytest.approx(0.625, abs=0.01)


@pytest.mark.usefixtures("in_process")
def test_finished_build_is_left_alone(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ["folder", "--videos", str(videos), "--out", str(tmp_path)]
    build.main(flags)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    build.main(flags)
    said = " ".join(capsys.readouterr().out.split())
    assert "is already built with these settings" in said
    assert "note: nothing says which clips are of one scene or person" in said
    with pytest.raises(UserError, match=r"was built with crf 18 \(now 30\), size 256 \(now 32\); choose another --out"):
        build.main([*flags, "--size", "32", "--crf", "30"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    added = videos / "a" / "g9_9.mp4"
    added.write_bytes((videos / "a" / "g0_0.mp4").read_bytes())
    with pytest.raises(UserError, match="was built from other clips, files or splits"):
        build.main(flags)
    added.unlink()
    same_name, other = videos / "a" / "g0_0.mp4", (videos / "b" / "g0_1.mp4").read_bytes()
    first = same_name.read_bytes()
    assert len(first) != len(other)
    same_name.write_bytes(other)
    with pytest.raises(UserError, match="was built from other clips, files or splits"):
        build.main(flags)
    same_name.write_bytes(first)
    build.main(flags)
    build.main([*flags, "--size", "32", "--overwrite"])
    assert {inspect_video(record["video"]).height for record in read_records(tmp_path).values()} == {32}


@pytest.mark.usefixtures("in_process")
def test_up_to_one_bad_video_in_a_hundred_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The default of --on-bad; --on-bad=fail takes none."""
    source = write_numbered(tmp_path / "one.mp4", 3)
    for number in range(198):
        path = tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)
    for number in range(2):
        (tmp_path / "videos" / "a" / f"bad{number}.mp4").write_bytes(source.read_bytes()[:700])
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="2 of 200 videos cannot be used .*leave them out with --on-bad=skip"):
        build.main([*flags, "--on-bad", "fail"])
    build.main(flags)
    assert len(read_records(tmp_path / "out")) == 198
    report = json.loads((tmp_path / "out" / "prep_report.json").read_text())
    assert [entry["id"] for entry in report["rejected"]] == ["a/bad0", "a/bad1"]
    assert report["in_train_and_test"]["1"], "all of them are the same video"
    assert "warning: fold 1 tests on" in capsys.readouterr().out
    (tmp_path / "videos" / "a" / "bad2.mp4").touch()
    with pytest.raises(UserError, match="3 of 201 videos cannot be used"):
        build.main([*flags[:-1], str(tmp_path / "again")])


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("codec", ["jpeg", "original"])
def test_other_codecs_hold_the_same_frames(videos: Path, tmp_path: Path, codec: str) -> None:
    build.main(["folder", "--videos", str(videos), "--out", str(tmp_path), "--codec", codec, "--flow"])
    for id, record in read_records(tmp_path).items():
        if codec == "jpeg":
            frames = decode.decode_jpegs(record["frames"])
        else:
            assert record["video"] == (videos / f"{id}.mp4").read_bytes()
            frames = decode.decode_frames(record["video"])
        assert read_numbers(frames) == list(range(record["num_frames"]))
        assert decode.decode_flow(record["flow"]).shape == (*frames.shape[:3], 2)


def test_too_little_room_is_reported_first(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40 - free, free))
    monkeypatch.setattr(staging, "stage", lambda *args, **kwargs: pytest.fail("it started"))
    flags = ["folder", "--videos", str(videos), "--out", str(tmp_path)]
    with pytest.raises(UserError, match="too little room for 6 clips: about 1 MiB of records, .* 1 MiB free"):
        build.main(flags)


@pytest.mark.usefixtures("in_process")
def test_bad_videos(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for path in (videos / name).iterdir():
            (tmp_path / "videos" / name / path.name).symlink_to(path)
    (tmp_path / "videos" / "a" / "zero.mp4").touch()
    (tmp_path / "videos" / "b" / "text.avi").write_text("not a video\n" * 100)
    out = tmp_path / "out"
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(out)]

    with pytest.raises(UserError, match=r"^2 of 8 videos cannot be used \(.*--on-bad=skip.*$"):
        build.main(flags)
    shown = capsys.readouterr().out
    assert f"rejected {tmp_path}/videos/a/zero.mp4: empty (zero bytes)" in shown
    assert f"rejected {tmp_path}/videos/b/text.avi: not a video" in shown
    assert len(whole_clips(out / ".staging" / "clips")) == 8, "what is bad is remembered as well"
    assert not (out / "prep_report.json").exists()

    build.main([*flags, "--on-bad", "skip"])
    rejected = json.loads((out / "prep_report.json").read_text())["rejected"]
    assert [(entry["id"], entry["reason"].split(" (")[0]) for entry in rejected] == [
        ("a/zero", "empty"),
        ("b/text", "not a video"),
    ]
    folds = json.loads((out / "folds.json").read_text())["folds"]["1"]
    assert len(read_records(out)) == 6 and set(folds["train"] + folds["test"]) == set(read_records(out))


@pytest.mark.usefixtures("in_process")
def test_class_without_test_clips_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = [("1", "a", "train"), ("2", "a", "test"), ("3", "b", "train")]
    for name, _, _ in rows:
        write_numbered(tmp_path / "videos" / f"{name}.mp4", 3)
    lines = ["path,label,split", *(f"{name}.mp4,{label},{split}" for name, label, split in rows)]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    flags = ["--csv", str(tmp_path / "list.csv"), "--out", str(tmp_path / "out")]
    build.main(["folder", "--videos", str(tmp_path / "videos"), *flags])
    assert "warning: fold 1 has no test clip of b\n" in capsys.readouterr().out


@pytest.mark.usefixtures("in_process")
def test_class_that_loses_all_its_clips(tmp_path: Path) -> None:
    for name in ("train/a/1", "test/a/2", "test/b/3"):
        write_numbered(tmp_path / "videos" / f"{name}.mp4", 3)
    (tmp_path / "videos" / "train" / "b").mkdir()
    (tmp_path / "videos" / "train" / "b" / "4.mp4").touch()
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out"), "--on-bad=skip"]
    with pytest.raises(UserError, match="class b has no training clip in fold 1"):
        build.main(flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["folder", "--videos", "/nowhere", "--out", "{out}"], "no folder /nowhere; give the folder"),
        (["folder", "--videos", "{videos}", "--out", "{file}"], "choose another place"),
        (["folder", "--videos", "{videos}"], "arguments are required: --out"),
        (["folder", "--videos", "{videos}", "--out", "{out}", "--test-share", "1"], "is not a share between 0 and 1"),
        (["folder", "--videos", "{videos}", "--out", "{out}", "--folds=1"], "of at least 2, nor 'groups'"),
        (["infar", "--videos", "{videos}", "--out", "{out}", "--folds=groups"], "--folds needs the group of each clip"),
        (["folder", "--videos", "{videos}", "--out", "{out}", "--crf", "60"], "is not a whole number from 0 to 51"),
        (["arid", "--videos", "{videos}", "--out", "{out}", "--lists", "{videos}"], "no ARID_split1_train.txt in"),
        (["folder", "--videos", "{videos}", "--out", "/proc/none"], "cannot write to /proc/none/.staging"),
        (["arid", "--videos", "{videos}", "--out", "{out}", "--test-share", "0.5"], "required: --lists"),
        (["ucf", "--out", "{out}"], "invalid choice: 'ucf'"),
        (["folder", "--videos", "{videos}", "--out", "{videos}/r"], "lies in --videos"),
        (
            ["folder", "--videos", "{videos}", "--out", "{out}", "--codec=original", "--no-flow", "--size=64"],
            "--size has no effect with --codec=original",
        ),
    ],
)
def test_mistakes_are_one_line(videos: Path, tmp_path: Path, flags: list[str], message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as raised:
        build.main([flag.format(videos=videos, out=tmp_path / "out", file=tmp_path / "file") for flag in flags])
    (line,) = str(raised.value).splitlines()
    assert message in line


def test_a_mistake_ends_with_code_2() -> None:
    done = run_build("folder", "--videos", "/nowhere", "--out", "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "error: no folder /nowhere; give the folder" in line


def test_full_disk_is_the_users_to_fix(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args, **kwargs) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging, "stage", full)
    with pytest.raises(UserError, match="no space left on device"):
        build.main(["folder", "--videos", str(videos), "--out", str(tmp_path)])


@pytest.mark.usefixtures("in_process")
def test_real_dark_clips(real_data: Path, tmp_path: Path) -> None:
    """A few clips of ARID through the official lists: the stored frames are the source's, dark and close to it."""
    root = real_data / "arid_subset"
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "mapping_table.txt").write_text((root / "mapping_table.txt").read_text())
    for split, count in (("train", 2), ("test", 1)):
        lines = (root / f"ARID_split1_{split}.txt").read_text().splitlines(keepends=True)
        (lists / f"ARID_split1_{split}.txt").write_text("".join(lines[:count]))
    build.main(["arid", "--videos", str(root / "clips"), "--lists", str(lists), "--out", str(tmp_path / "out")])
    records = read_records(tmp_path / "out", "arid")
    assert len(records) == 3
    report = json.loads((tmp_path / "out" / "prep_report.json").read_text())
    assert report["settings"]["crf"] == 15
    assert report["counts"]["1"] == {"train": {"Jump": 2}, "test": {"Jump": 1}}
    assert report["mean_luma"]["percentiles"]["95"] < 80
    for id, record in records.items():
        source = root / "clips" / f"{id}.mp4"
        num_frames = inspect_video(source).num_frames
        indices = sampling.eval_indices(num_frames, 64) if num_frames > 64 else range(num_frames)
        stored, native = decode.decode_frames(record["video"]), decode.decode_frames(source, indices)
        error = np.mean((stored.astype(float) - native) ** 2)
        assert 10 * np.log10(255**2 / error) > 40
