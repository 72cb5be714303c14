"""What an audit says before training: near-duplicates, groups on both sides, what to do."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from data_prep.audit import __main__ as audit
from data_prep.audit import items
from data_prep.audit.advice import advise
from data_prep.audit.findings import findings
from data_prep.audit.likeness import SAME, near_duplicates, similarity_of
from data_prep.audit.thumbnails import Thumbnails
from lift_flax.errors import UserError
from tests.support.video_files import link_videos, write_video


def _footage(scene: int, take: int, num_frames: int = 60, light: float = 1.0) -> np.ndarray:
    """uint8 [T,96,128,3] of a camera that stands still, by night: a scene, something that moves in it, and noise."""
    setting, acting = np.random.default_rng([scene, 0]), np.random.default_rng([scene, 1, take])
    background = np.kron(setting.uniform(4, 40, (6, 8)), np.ones((16, 16)))
    steps = acting.normal(0, 1, (num_frames, 2)).cumsum(axis=0) * 1.2
    rows, columns = (steps - steps.mean(axis=0) + (48, 64)).T
    y, x = np.mgrid[:96, :128]
    frames = np.repeat(background[None], num_frames, axis=0)
    for t in range(num_frames):
        frames[t][(np.abs(y - rows[t]) < 22) & (np.abs(x - columns[t]) < 9)] = 70
    frames = light * frames + acting.normal(0, 3, frames.shape)
    return np.repeat(frames.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)


def _encoded(path: Path, frames: np.ndarray, **options: str) -> Path:
    return write_video(path, frames, **{"x264-params": "mbtree=0:threads=1", **options})


def _again(source: Path, path: Path, crf: int = 33, step: int = 1, drop: int = 0, width: int = 0) -> Path:
    """The video encoded once more: every `step`-th frame from frame `drop` on, scaled to `width`."""
    with av.open(str(source)) as container:
        frames = [frame.to_ndarray(format="rgb24", width=width or None, height=48 if width else None)
                  for frame in container.decode(video=0)]  # fmt: skip
    return _encoded(path, np.array(frames)[drop::step], fps=30 // step, crf=f"{crf}")


def test_the_same_footage_is_found_and_no_other(tmp_path: Path) -> None:
    """Copies encoded anew, scaled, cut and at half the rate; other takes of one scene and other scenes are none."""
    takes = {(scene, take): _encoded(tmp_path / f"{scene}{take}.mp4", _footage(scene, take))
             for scene in (1, 2) for take in (1, 2, 3)}  # fmt: skip
    first = takes[1, 1]
    copies = {
        "worse": _again(first, tmp_path / "worse.mp4"),
        "small": _again(first, tmp_path / "small.mp4", crf=23, width=96),
        "cut": _again(first, tmp_path / "cut.mp4", crf=23, drop=23),
        "slow": _again(first, tmp_path / "slow.mp4", crf=23, step=2),
        "bright": _encoded(tmp_path / "bright.mp4", _footage(1, 1, light=2.0)),
    }
    files = {path.stem: path for path in (*takes.values(), *copies.values())}
    pictures = {name: items.inspect(path, 20.0)[1] for name, path in files.items()}
    pairs, not_compared = near_duplicates(pictures)
    alike = {"11", *copies}
    assert {(pair.one, pair.other) for pair in pairs} == {(a, b) for a in alike for b in alike if a < b}
    assert not_compared == 0 and min(pair.similarity for pair in pairs) >= SAME
    (cut,) = (pair for pair in pairs if (pair.one, pair.other) == ("11", "cut"))
    assert cut.shift == pytest.approx(23 / 30, abs=0.06)
    apart = [similarity_of(pictures[a], pictures[b])[0] for a, b in (("11", "12"), ("12", "13"), ("11", "21"))]
    assert max(apart) < 0.8


def test_small_pictures_are_upright() -> None:
    """A frame that is shown turned or mirrored gives the picture of the upright one."""
    (frame,) = _footage(1, 1, 1)[..., 0]
    coded = {(0, False): frame, (1, False): np.rot90(frame), (2, False): frame[::-1, ::-1], (0, True): frame[:, ::-1]}
    pictures = []
    for (turns, mirrored), luma in coded.items():
        (seen := Thumbnails(20)).add(0.0, np.ascontiguousarray(luma), turns, mirrored)
        pictures.append(seen.pictures())
    np.testing.assert_allclose(pictures, [pictures[0]] * 4, atol=2e-3)


def test_stills_are_the_same_if_they_show_the_same(tmp_path: Path) -> None:
    """Where nothing moves, the picture decides."""
    still = [np.repeat(_footage(scene, 1, 2)[:1], 20, axis=0) for scene in (1, 2)]
    paths = [_encoded(tmp_path / "a.mp4", still[0]), _encoded(tmp_path / "b.mp4", still[0], crf="30"),
             _encoded(tmp_path / "c.mp4", still[1])]  # fmt: skip
    pairs, _ = near_duplicates({path.stem: items.inspect(path, 20.0)[1] for path in paths})
    assert [(pair.one, pair.other) for pair in pairs] == [("a", "b")]


@pytest.mark.usefixtures("in_process")
def test_a_folder_with_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    videos = tmp_path / "videos"
    for number in range(5):
        _encoded(videos / "train" / "walk" / f"s1_{number}.mp4", _footage(1, number, light=5))
    for scene in (2, 3):
        _encoded(videos / "train" / "sit" / f"s{scene}_0.mp4", _footage(scene, 0, light=5)[:, ::2, ::2])
    _again(videos / "train" / "walk" / "s1_3.mp4", videos / "test" / "walk" / "s1_9.mp4", crf=25, drop=11)
    (videos / "test" / "sit").mkdir()
    shutil.copy(videos / "train" / "walk" / "s1_4.mp4", videos / "test" / "sit" / "s1_8.mp4")
    (videos / "test" / "sit" / "s1_7.mp4").write_bytes(b"")
    out = tmp_path / "out"
    audit.main([str(videos), "--out", str(out), "--group-regex", r"(s\d)_"])
    report = json.loads((out / "audit.json").read_text())
    assert report["counts"]["1"] == {"train": {"sit": 2, "walk": 5}, "test": {"sit": 1, "walk": 1}}
    assert report["groups"]["on_both_sides"] == {"1": ["s1"]} and report["groups"]["tested"] == {"1": ["s1"]}
    assert report["near_in_train_and_test"] == {"1": [["train/walk/s1_3.mp4", "test/walk/s1_9.mp4"]]}
    assert report["in_train_and_test"] == {"1": [["train/walk/s1_4.mp4", "test/sit/s1_8.mp4"]]}
    (near,) = report["near_duplicates"]
    assert (near["one"], near["other"]) == ("test/walk/s1_9.mp4", "train/walk/s1_3.mp4")
    assert near["shift"] == pytest.approx(-11 / 30, abs=0.06)
    assert report["seconds"]["percentiles"]["50"] == 2.0 and report["sizes"] == {"128x96": 7, "64x48": 2}
    printed = capsys.readouterr().out
    for words in (
        "group s1 is on both sides of fold 1",
        "fold 1 tests on copies of training clips: clip test/sit/s1_8.mp4; the first shows train/walk/s1_4.mp4",
        "fold 1 tests on near-duplicates of training clips: clip test/walk/s1_9.mp4",
        "the same footage is in two classes: test/sit/s1_8.mp4 (sit) and train/walk/s1_4.mp4 (walk)",
        "all test clips come from one group, s1: they say nothing of others",
        "two training clips in class sit: add some",
        "daylight; use luminous=flow (records built with --flow) or gamma 1 (--config.model.luminous.gamma=1)",
        "smaller than 112 px",
        "file test/sit/s1_7.mp4 is bad",
    ):
        assert f"\n- {words}" in printed or words in printed, words
    assert len(printed.splitlines()) < 50
    with pytest.raises(UserError, match=r"--group-regex 's' has no capture group"):
        audit.main([str(videos), "--out", str(out), "--group-regex", "s"])


@pytest.mark.usefixtures("in_process")
def test_an_ordinary_set_takes_one_screen(tmp_path: Path, capsys: pytest.CaptureFixture, tiny_videos: dict) -> None:
    """Forty classes and ten folds of a CSV, whose groups and folds are read."""
    names = [f"class{number % 40:02d}/{number}.mp4" for number in range(80)]
    videos = link_videos(tmp_path / "videos", names, tiny_videos)
    rows = [f"{name},{name.split('/')[0]},{number % 10},actor {number % 10}" for number, name in enumerate(names)]
    (tmp_path / "clips.csv").write_text("\n".join(["path,label,fold,group", *rows]))
    audit.main([str(videos), "--out", str(tmp_path / "out"), "--csv", str(tmp_path / "clips.csv")])
    printed = capsys.readouterr().out
    assert "clips: 80 clips in 40 classes, 2 each: class00 2, class01 2, class02 2, ..." in printed
    assert "10 folds, whose test clips are 8" in printed and "10 groups" in printed
    assert "10 folds test on fewer than 5 groups: train --folds=all pools them" in printed
    assert len(printed.splitlines()) < 40


def test_advice_follows_the_light_and_the_lengths(tmp_path: Path) -> None:
    """The same findings, of darker or longer clips."""
    path = _encoded(tmp_path / "a" / "1.mp4", _footage(1, 1, 8))
    inspected = {f"{number}": items.inspect(path, 20.0) for number in range(2)}
    clips = [items.Item(name, "all", "ab"[int(name)], path) for name in inspected]
    report = findings(tmp_path, clips, {"1": {"train": [], "test": []}}, inspected, {})

    def said(**luma: float) -> str:
        spread = {**report["mean_luma"]["percentiles"], **{name.strip("p"): value for name, value in luma.items()}}
        return " ".join(advise({**report, "mean_luma": {**report["mean_luma"], "percentiles": spread}}))

    assert "mean luma 126: daylight" in said(p50=126)
    assert "mean luma 12: dark; the usual gamma 1.8 lifts it to 47" in said(p50=12)
    assert "mean luma 3.0: so dark that gamma 1.8 lifts it to 22 only; try --config.model.luminous.gamma=3.1" in said(
        p50=3
    )
    assert "from dark to daylight (mean luma 5 to 120)" in said(p5=5, p50=30, p95=120)
    assert "2 clips (0, 1) are shorter than 30 frames, which are repeated" in said()
    assert "no clip names its scene or actor" in said()
    for clip in report["clips"].values():
        clip["seconds"] = 40
    assert "2 clips (0, 1) are longer than 30 s: records keep 64 frames of each" in said()


@pytest.mark.slow
def test_night_clips_of_different_scenes_are_no_duplicates(real_data: Path, tmp_path: Path) -> None:
    """Of 50 real clips none is called a copy of another; four that are encoded anew are."""
    clips = sorted((real_data / "arid_subset" / "clips").glob("*/*.mp4"))[::4]
    again = [_again(path, tmp_path / f"{path.stem}_again.mp4", crf=28, drop=7) for path in clips[::13]]
    pictures = {path.stem: items.inspect(path, 20.0)[1] for path in (*clips, *again)}
    pairs, _ = near_duplicates(pictures)
    assert {(pair.one, pair.other) for pair in pairs} == {(path.stem, f"{path.stem}_again") for path in clips[::13]}
