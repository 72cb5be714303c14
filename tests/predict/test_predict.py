"""Answers for files: those of evaluation, for any number of them, good and bad, in memory that does not grow."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

import lift_flax
from data_prep import build
from lift_flax.data.records import open_records
from lift_flax.distributed.mesh import make_mesh
from lift_flax.errors import UserError
from lift_flax.evaluate import scoring
from lift_flax.predict import __main__ as predict
from lift_flax.predict.named_videos import named_videos
from lift_flax.predict.predictor import Predictor
from lift_flax.predict.reading import usual_windows
from lift_flax.runs.trained import open_trained
from lift_flax.video.decode import decode_frames
from tests import ROOT
from tests.conftest import moving_bar
from tests.support.containers.timed_videos import write_timed
from tests.support.trained_tools import random_trained
from tests.support.video_files import write_video


@pytest.fixture(scope="module")
def predictor(run):
    return lift_flax.load(run, batch_size=4)


@pytest.fixture(scope="module")
def videos(records) -> list[Path]:
    return sorted((records.parent / "videos" / "test").rglob("*.mp4"))


@pytest.mark.parametrize("network", ["student", pytest.param("teacher", marks=pytest.mark.slow)])
def test_files_get_the_answers_of_their_records(run, records, network):
    """Up to what coding the records loses."""
    trained, opened = open_trained(run), open_records(str(records))
    ids = opened.split(1, "test")
    mesh = make_mesh(trained.config)
    score_clips = scoring.ScoreClips(trained.outputs, trained.config, opened, mesh)
    scored = score_clips(trained.params, trained.batch_stats, ids)
    expected = softmax(scored[scoring.NETWORKS[network]], axis=-1)
    answers = list(lift_flax.load(run, network=network).each(records.parent / "videos" / f"{i}.mp4" for i in ids))
    np.testing.assert_allclose([answer.probabilities for answer in answers], expected, atol=0.05)
    assert [answer.label for answer in answers] == [trained.classes[i] for i in expected.argmax(axis=1)]
    assert all(answer.decode_ms > 0 and answer.model_ms > 0 for answer in answers)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory) -> Path:
    """Records of a red and a blue bar, and the videos that they were made of."""
    root = tmp_path_factory.mktemp("coloured")
    for name, tint in (("red", (6, 1, 0.3)), ("blue", (0.3, 1, 6))):
        for split, seed in (("train", 0), ("test", 1)):
            frames = (moving_bar(0, seed, 12) * np.array(tint)).clip(0, 255).astype(np.uint8)
            write_video(root / "videos" / split / name / "a.mp4", frames, crf="4")
    build.main(["folder", f"--videos={root / 'videos'}", f"--out={root / 'records'}", "--workers=1"])
    return root / "records"


def test_colours_are_those_of_the_records(coloured):
    """Of a network that answers red otherwise than blue; grey clips would not show one taken for the other."""
    trained, opened = random_trained("tiny"), open_records(str(coloured))
    ids = opened.split(1, "test")
    score_clips = scoring.ScoreClips(trained.outputs, trained.config, opened, make_mesh(trained.config))
    expected = softmax(score_clips(trained.params, trained.batch_stats, ids)["logits"], axis=-1)
    predictor = Predictor(trained)
    for i, of_record in zip(ids, expected, strict=True):
        path = coloured.parent / "videos" / f"{i}.mp4"
        frames = decode_frames(path)
        (clip,) = predictor.read(path)  # what the network sees
        for seen in (frames, clip.parts["clip"]):
            red, _, blue = seen.mean(axis=(0, 1, 2))
            assert (red > 4 * blue) == ("red" in i) and (blue > 4 * red) == ("blue" in i)
        for answer in (predictor(path), predictor(frames)):
            np.testing.assert_allclose(answer.probabilities, of_record, atol=0.01)
        swapped = predictor(frames[..., ::-1])
        assert np.abs(swapped.probabilities - of_record).max() > 0.025


def test_frames_in_memory_get_the_answer_of_their_file(predictor, videos):
    for path in videos[:2]:
        of_file, of_frames = predictor(path), predictor(decode_frames(path))
        np.testing.assert_allclose(of_frames.probabilities, of_file.probabilities, atol=0.03)
        assert of_file.video == str(path) and of_frames.video == "frames"


def test_one_by_one_or_in_batches(predictor, videos):
    together = list(predictor.each(videos))
    for path, answer in zip(videos, together, strict=True):
        np.testing.assert_allclose(predictor(path).probabilities, answer.probabilities, atol=1e-5)
    assert set(predictor.predictor._programs) <= {1, 4}


def test_a_bad_video_among_good_ones(run, videos, tmp_path):
    """As a process: a line for each in order, an error in its place, exit code 2."""
    bad = tmp_path / "cut.mp4"
    bad.write_bytes(videos[0].read_bytes()[:700])
    listed = [videos[0], bad, tmp_path / "missing.mp4", videos[1]]
    command = [sys.executable, "-m", "lift_flax.predict", f"--workdir={run}", "--json", *map(str, listed)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 2 and "error: 2 of 4 videos could not be used" in ended.stderr, ended.stderr
    assert [line["video"] for line in found] == [str(path) for path in listed]
    assert set(found[1]) == set(found[2]) == {"video", "error"} and found[2]["error"] == "no such file or directory"
    for line in (found[0], found[3]):
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert line["probabilities"][line["label"]] == max(line["probabilities"].values()) == line["probability"]


def test_a_long_video_gets_a_timeline(run, tmp_path, capsys):
    """Twelve seconds, first a bar that moves down, then one that does not move."""
    down, still = moving_bar(1, 0, 12), moving_bar(2, 0, 12)
    path = write_video(tmp_path / "long.mp4", np.concatenate([down] * 10 + [still] * 20), fps=30)
    predict.main([f"--workdir={run}", "--longest=5", "--window=2", "--hop=1", "--json", str(path)])
    found = json.loads(capsys.readouterr().out)
    assert [(m["start"], m["end"]) for m in found["timeline"]] == [(i, i + 2) for i in range(11)]
    assert found["events"][0]["start"] == 0 and found["events"][-1]["end"] == 12
    for before, after in zip(found["events"], found["events"][1:], strict=False):
        assert before["end"] == after["start"] and before["label"] != after["label"]
    whole = decode_frames(path)
    predictor = lift_flax.load(run)
    for moment in found["timeline"]:
        alone = predictor(whole[int(30 * moment["start"]) : int(30 * moment["end"])])
        of_label = alone.probabilities[alone.classes.index(moment["label"])]  # two may be as likely
        assert (of_label, alone.probability) == pytest.approx((moment["probability"],) * 2, abs=0.05)
    mean = np.mean([m["probability"] for m in found["timeline"] if m["label"] == found["label"]])
    assert found["probability"] <= mean + 1e-6 and len({m["probability"] for m in found["timeline"]}) > 1
    predict.main([f"--workdir={run}", "--longest=5", "--window=2", "--hop=1", str(path)])
    said = capsys.readouterr().out
    first = found["events"][0]
    assert (
        f"{path}: {first['label']} {100 * first['probability']:.1f} % 0:00.0 to 0:" in said and "11 clips, each" in said
    )


def test_windows_last_as_long_as_the_training_clips():
    trained = random_trained("tiny")
    known = dataclasses.replace(trained, clip_seconds=3.0)
    in_a_row = random_trained("tiny", **{"data.sampling": "window", "data.window_seconds": 1.0})
    for of, expected in (
        (trained, (30, 4, 2)),
        (known, (30, 3, 1.5)),
        (dataclasses.replace(in_a_row, clip_seconds=3.0), (30, 1, 0.5)),
    ):
        assert dataclasses.astuple(Predictor(of).windows) == dataclasses.astuple(usual_windows(of)) == expected
    assert Predictor(known, windows=lift_flax.Windows(9.0)).windows == lift_flax.Windows(9.0, 4.0, 2.0)
    assert usual_windows(known, length=1.0) == lift_flax.Windows(30.0, 1.0, 0.5)
    assert usual_windows(known, longest=2.0, hop=1.0) == lift_flax.Windows(2.0, 3.0, 1.0)


def test_a_pause_is_computed_once(run, tmp_path, monkeypatch):
    """Two seconds of a moving bar, a minute of its last picture, two seconds of another: each window has its answer."""
    frames = np.concatenate([moving_bar(1, 0, 60), moving_bar(0, 1, 60)])
    times = [Fraction(k, 30) for k in [*range(60), *range(1860, 1920)]]
    path = write_timed(tmp_path, "mp4", times, frames=frames)
    predictor = lift_flax.load(run, batch_size=4, windows=lift_flax.Windows(10.0, 2.0, 1.0)).predictor
    computed: list[int] = []
    timed = predictor._timed
    monkeypatch.setattr(predictor, "_timed", lambda clips: computed.append(len(clips)) or timed(clips))
    answer = predictor(path)
    clips = list(predictor.read(path))
    assert [part.start for part in answer.timeline] == [clip.start for clip in clips] == pytest.approx([*range(63)])
    assert sum(computed) == 5  # two windows of each movement, one of the pause
    alone = np.concatenate([predictor.probabilities([clip]) for clip in clips])
    np.testing.assert_allclose(answer.probabilities, alone.mean(axis=0), atol=1e-5)
    assert [part.probability for part in answer.timeline] == pytest.approx(alone.max(axis=1), abs=1e-5)


def test_folders_patterns_and_lists(videos, tmp_path, monkeypatch):
    folder = tmp_path / "some"
    for place, path in zip(("b.mp4", "a/x.MOV", "c.mp4"), videos, strict=False):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / place)
    (folder / "notes.txt").write_text("no video")
    (folder / "._b.mp4").write_text("what some systems leave beside a file")
    assert list(named_videos([str(folder)])) == [folder / "a/x.MOV", folder / "b.mp4", folder / "c.mp4"]
    assert list(named_videos([str(folder / "*.mp4")])) == [folder / "b.mp4", folder / "c.mp4"]
    assert list(named_videos([str(folder / "*.avi"), "gone"])) == [folder / "*.avi", Path("gone")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one.mp4\n\ntwo [x].mp4\r\n\xff.mp4\n")))
    assert list(named_videos(["-"])) == [Path("one.mp4"), Path("two [x].mp4"), Path("\udcff.mp4")]


AGAIN_AND_AGAIN = """
import contextlib, os, sys, threading
from fractions import Fraction
from pathlib import Path
import lift_flax

workdir, *ten = sys.argv[1:]
predictor, threads = lift_flax.load(workdir, batch_size=4), threading.active_count()

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def rounds(number):
    for _ in range(number):
        assert len(list(predictor.each(ten))) == 10
    return megabytes()

before = rounds(5)
print(rounds(30) - before)
with contextlib.closing(predictor.each(ten * 100)) as answers:
    next(answers)
assert threading.active_count() == threads
"""


@pytest.mark.slow
def test_memory_does_not_grow(run, videos):
    """Ten clips over and over, in a process that does nothing else; and nothing is left by whoever stops asking."""
    ten = (videos * 2)[:10]
    # Each reading thread may get a heap of its own from glibc, and what is free in those says nothing of what is kept.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", AGAIN_AND_AGAIN, run, *ten]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) < 10


@pytest.mark.parametrize(("arguments", "message"), [
    (["--top=0", "x"], "--top and --batch-size"),
    (["--hop=5", "x"], "the hop at most a window"),
    (["-"], "no videos"),
    ([], "VIDEO"),
    (["--network=critic", "x"], "critic"),
])  # fmt: skip
def test_mistakes(run, arguments, message, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(UserError, match=message):
        predict.main([f"--workdir={run}", *arguments])


def test_importing_the_package_starts_nothing():
    code = "import sys, lift_flax; assert 'jax' not in sys.modules and callable(lift_flax.load)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.slow
def test_real_clips(run, real_data, capsys):
    """Every real clip gets an answer, 1920x1080 and 30 s among them."""
    folder = real_data / "decode_clips"
    predict.main([f"--workdir={run}", "--json", str(folder)])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(list(folder.glob("*.mp4"))) > 3 and all("label" in line for line in found)
