"""Frames one at a time get the answers of the same frames at once, from one look at each and in bounded memory."""

import copy
import dataclasses
import functools
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.predict.predictor import Predictor
from lift_flax.predict.smoothing import Smoothing
from lift_flax.video.decode import iter_frames
from tests import ROOT
from tests.conftest import moving_bar
from tests.support.readings import READINGS
from tests.support.trained_tools import random_trained, write_run
from tests.support.video_files import write_video

T = 4  # of tests/support/small_config.py
KINDS = {  # what the networks differ in that a stream must know: (argument, fields, network)
    "both": ("tiny", {"model.levels": 2}, "student"),
    "teacher": ("tiny", {"model.luminous.size": 24}, "teacher"),
    "flow": ("tiny,luminous=flow", {"model.luminous.size": 24}, "student"),
    "finetuned teacher": ("tiny", {"train.trunk": "finetune"}, "teacher"),
    "teacher of main alone": ("tiny,streams=main", {}, "teacher"),
    "main alone": ("tiny,streams=main,distill=no", {}, "student"),
    "main alone, distilled": ("tiny,streams=main", {}, "student"),
    "luminous alone": ("tiny,streams=luminous,distill=no", {}, "student"),
    "flow of a teacher": ("tiny,luminous=flow", {}, "teacher"),
    "in a row": (
        "tiny,luminous=flow",
        {"data.sampling": "window", "data.stride": 3, "data.test_windows": 2},
        "student",
    ),
    **{name: ("tiny", {**fields, "data.num_frames": 4}, "student") for name, fields in READINGS.items()},
}


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@functools.cache
def _predictor(kind: str) -> Predictor:
    arg, fields, network = KINDS[kind]
    return Predictor(random_trained(arg, **fields), network=network)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Fourteen frames: a bar that moves right, then one that moves down."""
    frames = np.concatenate([moving_bar(0, 0, 7), 3 * moving_bar(1, 0, 7)])
    return write_video(tmp_path_factory.mktemp("streams") / "clip.mp4", frames)


def _frames(video: Path, height: int, width: int) -> list[np.ndarray]:
    """Decoded one by one, and the upper left of each."""
    return [frame.to_ndarray(format="rgb24")[:height, :width] for _, frame in iter_frames(video)]


def _answers(stream, frames) -> dict:
    found = [stream.push(frame) for frame in frames]
    for index, answer in enumerate(found):
        assert answer is None or answer.index == index
    return {answer.index: answer for answer in found if answer}


def _assert_those_of_arrays(answers: dict, predictor: Predictor, frames: list[np.ndarray]) -> None:
    """Every answer is that of the last frames as an array; and windows differ by far more than the bound."""
    span = (T - 1) * predictor.trained.config.data.stride + 1
    for index, answer in answers.items():
        expected = predictor(np.stack(frames[index - span + 1 : index + 1]))
        np.testing.assert_allclose(answer.probabilities, expected.probabilities, rtol=0, atol=1e-5)
        assert (answer.label, answer.probability) == (expected.label, pytest.approx(expected.probability, abs=1e-5))
        assert answer.latency_ms > 0
    assert np.ptp([answer.probabilities for answer in answers.values()], axis=0).max() > 1e-3


@pytest.mark.parametrize("kind", [*list(KINDS)[:2], *map(_slow, list(KINDS)[2:])])
def test_the_answers_of_the_same_frames_at_once(kind, video):
    predictor, frames = _predictor(kind), _frames(video, 47, 53)
    answers = _answers(predictor.stream(every=3), frames)
    assert list(answers) == [
        12 - k for k in range(9, -1, -3) if 12 - k >= (T - 1) * predictor.trained.config.data.stride
    ]
    _assert_those_of_arrays(answers, predictor, frames)


@pytest.mark.parametrize("kind", [_slow("both"), "flow"])
@pytest.mark.parametrize(
    ("codec", "height", "width"), [("h264", 21, 31), _slow("jpeg", 48, 45), _slow("original", 33, 64)]
)
def test_any_size_goes_the_way_of_the_records(kind, codec, height, width, video):
    """Frames smaller than the network's are enlarged; records of a short side below the frames' are scaled twice."""
    predictor = copy.copy(_predictor(kind))  # the same programs
    predictor.preparation = dataclasses.replace(predictor.preparation, codec=codec, short_side=40)
    frames = _frames(video, height, width)
    answers = _answers(predictor.stream(every=5), frames)
    assert list(answers) == [3, 8, 13]
    _assert_those_of_arrays(answers, predictor, frames)


@pytest.mark.parametrize(("every", "expected", "looks"), [
    (1, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], 14),
    (4, [3, 7, 11], 14),
    (6, [3, 9], 4 + 4 + 2),  # frames 4, 5, 10 and 11 are in no window
])  # fmt: skip
@pytest.mark.parametrize("kind", ["both", _slow("flow")])
def test_each_frame_is_looked_at_once(kind, every, expected, looks, video):
    predictor, frames, seen = _predictor(kind), _frames(video, 48, 64), []
    stream = predictor.stream(every=every)
    programs = stream._programs
    stream._programs = dataclasses.replace(programs, token=lambda frame: seen.append(frame) or programs.token(frame))
    answers = _answers(stream, frames)
    assert list(answers) == expected and len(seen) == looks
    _assert_those_of_arrays(answers, predictor, frames)


def test_the_main_stream_is_in_one_program_and_the_rest_in_the_other():
    programs = _predictor("both").stream()._programs
    token, answer = programs.token.func.as_text(), programs.answer.func.as_text()
    assert "pvit" in token and "trunk" not in token and "levels" not in token
    assert "pvit" not in answer and "trunk" in answer and "levels" in answer
    assert _predictor("teacher").stream()._programs.token is None
    assert "levels" not in _predictor("teacher").stream()._programs.answer.func.as_text()


def test_streams_of_one_predictor_share_programs_and_nothing_else(video):
    predictor, frames = _predictor("both"), _frames(video, 48, 64)
    one, two = predictor.stream(every=2), predictor.stream(every=2)
    assert one._programs is two._programs
    found = [(one.push(frame), two.push(other)) for frame, other in zip(frames, frames[::-1], strict=True)]
    for of, order in ((0, frames), (1, frames[::-1])):
        _assert_those_of_arrays({pair[of].index: pair[of] for pair in found if pair[of]}, predictor, order)


@pytest.mark.parametrize("kind", ["both", _slow("flow")])
def test_a_camera_may_fill_the_same_array_again(kind, video):
    predictor, frames = _predictor(kind), _frames(video, 32, 32)
    expected, stream, buffer = _answers(predictor.stream(), frames), predictor.stream(), np.empty_like(frames[0])
    for frame in frames:
        buffer[:] = frame[..., ::-1]  # BGR, as OpenCV has it
        turned = buffer[..., ::-1]
        assert not turned.flags.c_contiguous
        answer = stream.push(turned)
        if answer:
            np.testing.assert_array_equal(answer.probabilities, expected[answer.index].probabilities)
    assert answer.index == max(expected) == 13


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["both", "flow"])
def test_memory_does_not_grow(kind, video):
    frames, stream = _frames(video, 48, 64), _predictor(kind).stream(every=2)

    def megabytes() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    _answers_of(stream, frames * 10)
    arrays, before = len(jax.live_arrays()), megabytes()
    _answers_of(stream, frames * 60)
    assert len(jax.live_arrays()) == arrays and megabytes() - before < 10
    assert len(stream._window.frames) == T


@pytest.mark.slow
def test_memory_does_not_grow_with_times(video):
    frames, stream = _frames(video, 48, 64), _predictor("flow").stream(every=2, seconds=0.5)
    for number in range(2000):
        stream.push(frames[number % len(frames)], number / 60)
    assert len(stream._window.frames) == 32  # of half a second, and two before it
    with pytest.raises(UserError, match="times must grow"):
        stream.push(frames[0], 1.0)


def _answers_of(stream, frames) -> None:
    assert sum(stream.push(frame) is not None for frame in frames) in (len(frames) // 2 - 1, len(frames) // 2)


@pytest.mark.parametrize("frame", [
    np.zeros((48, 64), np.uint8), np.zeros((48, 64, 4), np.uint8), np.zeros((48, 64, 3)),
    np.zeros((0, 64, 3), np.uint8), None, "clip.mp4"
])  # fmt: skip
def test_what_is_no_frame_does_not_count(frame, video):
    predictor, frames = _predictor("both"), _frames(video, 48, 64)
    stream = predictor.stream(every=3)
    expected = _answers(predictor.stream(every=3), frames)
    for index, good in enumerate(frames):
        with pytest.raises(UserError, match=rf"frame {index} is .*: push frames of uint8 RGB \[H, W, 3\]"):
            stream.push(frame)
        answer = stream.push(good)
        assert (answer is None) == (index not in expected)
        if answer:
            np.testing.assert_array_equal(answer.probabilities, expected[index].probabilities)


@pytest.mark.parametrize("kind", ["both", _slow("flow"), _slow("teacher")])
def test_frames_with_times_span_the_seconds_of_the_training_clips(kind, video):
    """A camera of 10 frames a second, whatever comes between: of 0.8 s four frames, at 0.1, 0.3, 0.5 and 0.7."""
    known, frames = _predictor(kind), _frames(video, 48, 64)
    predictor = copy.copy(known)
    predictor.trained = dataclasses.replace(known.trained, clip_seconds=0.8)
    timed, counted = predictor.stream(every=3), predictor.stream(every=3, fps=10.0)
    by_time = {i: answer for i, frame in enumerate(frames) if (answer := timed.push(frame, 5 + i / 10))}
    by_number = _answers(counted, frames)
    assert list(by_time) == list(by_number) == [7, 10, 13]
    for index, answer in by_time.items():
        clip = np.stack([frames[index - 7 + place] for place in (1, 3, 5, 7)])
        if kind != "flow":  # that of an array is between the frames it holds
            np.testing.assert_allclose(answer.probabilities, known(clip).probabilities, rtol=0, atol=1e-5)
        np.testing.assert_allclose(answer.probabilities, by_number[index].probabilities, rtol=0, atol=1e-6)
        assert answer.time == 5 + index / 10 and by_number[index].time is None
    assert np.ptp([answer.probabilities for answer in by_time.values()], axis=0).max() > 1e-3


def test_a_camera_that_stalls_shows_its_last_frame(video):
    predictor, frames = _predictor("both"), _frames(video, 48, 64)
    stream = predictor.stream(every=1, seconds=0.4)
    times = [0.0, 0.1, 0.2, 0.6, 0.7]  # 0.2 to 0.6: nothing came
    answers = [stream.push(frame, time) for frame, time in zip(frames, times, strict=False)]
    assert [answer is not None for answer in answers] == [False, False, False, True, True]
    clip = np.stack([frames[place] for place in (2, 2, 2, 3)])  # at 0.35, 0.45, 0.55 and 0.65
    np.testing.assert_allclose(answers[3].probabilities, predictor(clip).probabilities, rtol=0, atol=1e-5)


def test_smoothing():
    quiet = Smoothing(mean=2, hysteresis=0.2)
    shares, label = quiet(np.array([0.7, 0.3], np.float32))
    assert shares.tolist() == pytest.approx([0.7, 0.3]) and label == 0
    shares, label = quiet(np.array([0.2, 0.8], np.float32))
    assert shares.tolist() == pytest.approx([0.45, 0.55]) and label == 0  # ahead by 0.1 alone
    shares, label = quiet(np.array([0.2, 0.8], np.float32))
    assert shares.tolist() == pytest.approx([0.2, 0.8]) and label == 1
    for options, message in (
        ({"smooth": 0}, "smooth=0"),
        ({"hysteresis": 2.0}, "hysteresis=2.0"),
        ({"fps": 0.0}, "fps=0.0"),
    ):
        with pytest.raises(UserError, match=message):
            _predictor("both").stream(**options)


def test_times_that_cannot_be(video):
    predictor, frames = _predictor("both"), _frames(video, 48, 64)
    stream = predictor.stream(seconds=0.4)
    with pytest.raises(UserError, match="this stream takes 4 frames in 0.4 s: push each frame with its time"):
        stream.push(frames[0])
    stream.push(frames[0], 1.0)
    for time in (1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="frame 1 is of .* s, the one before of 1.0 s: times must grow"):
            stream.push(frames[1], time)
    with pytest.raises(UserError, match="frame 1: give a time for every frame of a stream, or for none"):
        stream.push(frames[1])


def test_mistakes():
    with pytest.raises(UserError, match="flow leads from one frame to the next, and this run takes one"):
        Predictor(random_trained("tiny,luminous=flow", **{"data.num_frames": 1})).stream()
    predictor = _predictor("both")
    with pytest.raises(UserError, match="every=0"):
        predictor.stream(every=0)
    stream = predictor.stream()
    stream.push(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UserError, match="frame 1 has 64x50 px, the first had 64x48: make another stream"):
        stream.push(np.zeros((50, 64, 3), np.uint8))
    stream = _predictor("flow").stream()
    narrow = np.zeros((400, 2, 3), np.uint8)
    stream.push(narrow)
    with pytest.raises(UserError, match="frame 1 cannot be used .*too small or too narrow for optical flow"):
        stream.push(narrow)


@pytest.mark.slow
def test_the_example_of_the_documentation(video, tmp_path, monkeypatch, capsys):
    """docs/use.md as it stands, on a run and a file that is read frame by frame."""
    section = (ROOT / "docs" / "use.md").read_text().split("## Streams")[1]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    write_run(_predictor("both").trained, tmp_path / "RUN")
    (tmp_path / "clip.mp4").symlink_to(video)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    said = capsys.readouterr().out.splitlines()
    frames, predictor = _frames(video, 48, 64), _predictor("both")
    assert [line.split(":")[0] for line in said] == ["3", "8", "13"]
    for line in said:
        index = int(line.split(":")[0])
        expected = predictor(np.stack(frames[index - T + 1 : index + 1]))
        assert re.fullmatch(rf"{index}: {expected.label} {100 * expected.probability:.1f} % \(\d+ ms\)", line), line


@pytest.mark.parametrize(("every", "looks"), [_slow(1, 14), (2, 13), _slow(3, 5), _slow(4, 11), (13, 5)])
def test_frames_that_a_window_passes_over_are_not_looked_at(every, looks, video):
    """Windows of four frames, three apart: of the frames 0, 3, 6, 9 and so on."""
    predictor = Predictor(random_trained("tiny", **{"data.sampling": "window", "data.stride": 3}))
    frames, seen = _frames(video, 48, 64), []
    stream = predictor.stream(every=every)
    programs = stream._programs
    stream._programs = dataclasses.replace(programs, token=lambda frame: seen.append(frame) or programs.token(frame))
    answers = _answers(stream, frames)
    assert list(answers) == [*range(9, 14, every)]
    for index, answer in answers.items():
        expected = predictor(np.stack(frames[index - 9 : index + 1]))
        np.testing.assert_allclose(answer.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    assert len(seen) == looks
