"""Runs on frames in a row: the same windows in training, after a resume, in evaluation, and for videos."""

import itertools
import shutil

import numpy as np
import pytest

import lift_flax
from data_prep import build
from lift_flax.data.batches import _reader, eval_batches, train_batches
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.runs.trained import open_trained
from lift_flax.train.run import resolve, train_and_test
from lift_flax.video.decode import decode_frames
from lift_flax.video.sampling import FrameWindow, view_grid
from tests.conftest import moving_bar
from tests.support.run_tools import assert_same_state, newest_state
from tests.support.small_config import LIGHT, small_config
from tests.support.video_files import numbered_frames, read_numbers, write_video

WINDOW = {"data.sampling": "window", "data.stride": 3, "data.test_windows": 3}


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Records of all 80 numbered frames of videos; one has 5."""
    root = tmp_path_factory.mktemp("numbered")
    for number, place in enumerate(("train/a", "train/b", "train/a", "test/a", "test/b")):
        frames = numbered_frames(range(5 if number == 2 else 80), width=96, height=96)
        write_video(root / "videos" / place / f"{number}.mp4", frames, fps=20)
    build.main(
        ["folder", f"--videos={root / 'videos'}", f"--out={root / 'records'}", "--max-frames=all", "--workers=1"]
    )
    return open_records(str(root / "records"))


def _config(numbered, **fields):
    return small_config(records=numbered.dir, **{"data.size": 48, "train.batch_size": 3, **WINDOW, **fields})


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_training_takes_frames_in_a_row_from_anywhere(numbered, cache):
    config, firsts = _config(numbered, **{"data.cache": cache}), set()
    batches = train_batches(numbered, config, numbered.split(1, "train"), seed=1, first_step=0)
    for batch in itertools.islice(batches, 20):
        for clip, clip_id in zip(batch["clip"], batch["id"], strict=True):
            numbers = read_numbers(clip)
            if clip_id.endswith("2"):
                assert numbers == [0, 3, 1, 4]  # begins again
                continue
            assert np.diff(numbers).tolist() == [3, 3, 3]
            firsts.add(numbers[0])
    assert min(firsts) < 10 and max(firsts) > 60 and len(firsts) > 20


@pytest.mark.parametrize("flow", [False, True])
def test_tests_take_windows_that_are_spread_over_the_clip(records, numbered, flow):
    """Flow, where it is read, is that of these frames."""
    opened = open_records(str(records)) if flow else numbered
    arg = "tiny,luminous=flow" if flow else "tiny"
    config = small_config(
        arg, records=opened.dir, **{"train.batch_size": 3, **WINDOW, "data.stride": 1, "data.size": 48}
    )
    ids = opened.split(1, "test")[:1]
    (batch,) = eval_batches(opened, config, ids, views=view_grid(3, 1))
    if not flow:
        assert [read_numbers(clip)[0] for clip in batch["clip"]] == [12, 38, 64]
        return
    reader = _reader(opened, config, ids)
    timing, decode = reader._open(0)
    for view, found in zip(view_grid(3, 1), batch["flow"], strict=True):
        indices = FrameWindow().at(timing, 4, view.phase)
        assert np.diff(indices).tolist() == [1, 1, 1]
        left = (decode(indices)["flow"].shape[2] - 48) // 2
        np.testing.assert_array_equal(found, decode(indices)["flow"][:, :, left : left + 48])


@pytest.fixture(scope="module")
def windowed(records, build_once):
    """A run on windows of the small records."""
    config = small_config(records=records, **{**LIGHT, **WINDOW, "train.learning_rate": 1e-3})
    return build_once("windowed", lambda folder: train_and_test(config, folder / "run")) / "run"


def test_a_run_is_scored_and_answers_by_the_same_windows(windowed, records):
    run, opened = lift_flax.load(windowed), open_records(str(records))
    results = run.results
    assert results["views"] == "3x1"
    scores = run.evaluate()
    assert (scores["views"], scores["average"]) == ("3x1", "softmax")
    errors = [found["student"]["ece"] for found in (scores, results, run.evaluate(views="1x1"))]
    assert errors[0] == pytest.approx(errors[1], abs=1e-6) and abs(errors[2] - errors[1]) > 1e-3
    with np.load(windowed / "test_predictions.npz") as stored:
        for clip_id, logits in zip(stored["ids"], stored["logits"], strict=True):
            answer = run(records.parent / "videos" / f"{clip_id}.mp4")
            np.testing.assert_allclose(answer.probabilities, np.exp(logits) / np.exp(logits).sum(), atol=0.05)
            assert len(answer.timeline) == 3
    assert run.explain(records.parent / "videos" / f"{opened.split(1, 'test')[0]}.mp4").label in range(3)


@pytest.mark.slow
def test_a_run_that_was_cut_ends_with_the_same_weights(windowed, tmp_path):
    trained = open_trained(windowed)
    shutil.copytree(windowed, tmp_path / "run")
    last = max(int(path.name) for path in (windowed / "student").iterdir() if path.name.isdigit())
    shutil.rmtree(tmp_path / "run" / "student" / str(last))
    (tmp_path / "run" / "results.json").unlink()
    train_and_test(trained.config, tmp_path / "run")
    states = [newest_state(path, "student", trained.config) for path in (windowed, tmp_path / "run")]
    assert_same_state(*states)


def test_seconds_need_a_frame_rate(records):
    from tests.support.trained_tools import random_trained

    trained = random_trained("tiny", **{"data.sampling": "window", "data.window_seconds": 0.2})
    frames, path = moving_bar(0, 0, 24), records.parent / "videos" / "test" / "right" / "g3_6.mp4"
    run = lift_flax.LoadedRun(trained)
    with pytest.raises(UserError, match=r"no frame rate, and this run takes 4 frames in 0\.2 s: give fps"):
        run(frames)
    with pytest.raises(UserError, match=r"takes 4 frames in 0\.2 s: push each frame with its time in seconds, or say"):
        run.stream().push(frames[0])
    timed = lift_flax.LoadedRun(trained, fps=30.0)
    np.testing.assert_allclose(timed(decode_frames(path)).probabilities, run(path).probabilities, atol=0.03)
    stream = timed.stream(every=1)  # 0.05 s are 1.5 frames of a camera of 30: four within six
    answers = [stream.push(frame) for frame in frames[:8]]
    assert [answer is not None for answer in answers] == [False] * 5 + [True] * 3
    for last, answer in enumerate(answers[5:], 5):
        expected = timed(frames[last - 5 : last + 1])
        np.testing.assert_allclose(answer.probabilities, expected.probabilities, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("fields", "message"), [
    ({"data.stride": 2}, "are of windows: set config.data.sampling=window"),
    ({"data.test_windows": 2}, "are of windows"),
    ({"data.sampling": "window", "data.stride": 2, "data.window_seconds": 1.0}, "both say how long a window is"),
    ({"data.sampling": "window", "data.test_windows": 101}, "test_windows"),
])  # fmt: skip
def test_fields_that_say_nothing_or_too_much(fields, message):
    with pytest.raises(UserError, match=message):
        small_config(**fields)


def test_records_that_lack_frames_are_refused(tmp_path):
    frames = numbered_frames(range(80), width=96, height=96)
    for place in ("train/a", "train/b", "test/a", "test/b"):
        write_video(tmp_path / "videos" / place / "1.mp4", frames[:-1] if "b" in place else frames)
    flags = [f"--videos={tmp_path / 'videos'}", f"--out={tmp_path / 'records'}", "--workers=1", "--max-frames=64"]
    build.main(["folder", *flags])
    opened = open_records(str(tmp_path / "records"))
    with pytest.raises(UserError, match=r"64 frames of a long video, .* --max-frames=all --overwrite, or set"):
        resolve(small_config(records=opened.dir, **WINDOW), opened)
