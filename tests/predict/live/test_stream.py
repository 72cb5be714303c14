"""Frames one at a time get the answers of the same frames at once, from one look at each and in bounded memory."""

import copy
import dataclasses
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.predict.predictor import Predictor
from tests import ROOT
from tests.predict.live.stream_tools import KINDS, T, answers_to, frames_of, predictor_of
from tests.support.trained_tools import random_trained, write_run


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


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
    predictor, frames = predictor_of(kind), frames_of(video, 47, 53)
    answers = answers_to(predictor.stream(every=3), frames)
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
    predictor = copy.copy(predictor_of(kind))  # the same programs
    predictor.preparation = dataclasses.replace(predictor.preparation, codec=codec, short_side=40)
    frames = frames_of(video, height, width)
    answers = answers_to(predictor.stream(every=5), frames)
    assert list(answers) == [3, 8, 13]
    _assert_those_of_arrays(answers, predictor, frames)


@pytest.mark.parametrize(("every", "expected", "looks"), [
    (1, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], 14),
    (4, [3, 7, 11], 14),
    (6, [3, 9], 4 + 4 + 2),  # frames 4, 5, 10 and 11 are in no window
])  # fmt: skip
@pytest.mark.parametrize("kind", ["both", _slow("flow")])
def test_each_frame_is_looked_at_once(kind, every, expected, looks, video):
    predictor, frames, seen = predictor_of(kind), frames_of(video, 48, 64), []
    stream = predictor.stream(every=every)
    programs = stream._programs
    stream._programs = dataclasses.replace(programs, token=lambda frame: seen.append(frame) or programs.token(frame))
    answers = answers_to(stream, frames)
    assert list(answers) == expected and len(seen) == looks
    _assert_those_of_arrays(answers, predictor, frames)


def test_the_main_stream_is_in_one_program_and_the_rest_in_the_other():
    programs = predictor_of("both").stream()._programs
    token, answer = programs.token.func.as_text(), programs.answer.func.as_text()
    assert "pvit" in token and "trunk" not in token and "levels" not in token
    assert "pvit" not in answer and "trunk" in answer and "levels" in answer
    assert predictor_of("teacher").stream()._programs.token is None
    assert "levels" not in predictor_of("teacher").stream()._programs.answer.func.as_text()


def test_streams_of_one_predictor_share_programs_and_nothing_else(video):
    predictor, frames = predictor_of("both"), frames_of(video, 48, 64)
    one, two = predictor.stream(every=2), predictor.stream(every=2)
    assert one._programs is two._programs
    found = [(one.push(frame), two.push(other)) for frame, other in zip(frames, frames[::-1], strict=True)]
    for of, order in ((0, frames), (1, frames[::-1])):
        _assert_those_of_arrays({pair[of].index: pair[of] for pair in found if pair[of]}, predictor, order)


@pytest.mark.parametrize("kind", ["both", _slow("flow")])
def test_a_camera_may_fill_the_same_array_again(kind, video):
    predictor, frames = predictor_of(kind), frames_of(video, 32, 32)
    expected, stream, buffer = answers_to(predictor.stream(), frames), predictor.stream(), np.empty_like(frames[0])
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
    frames, stream = frames_of(video, 48, 64), predictor_of(kind).stream(every=2)

    def megabytes() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    _answers_of(stream, frames * 10)
    arrays, before = len(jax.live_arrays()), megabytes()
    _answers_of(stream, frames * 60)
    assert len(jax.live_arrays()) == arrays and megabytes() - before < 10
    assert len(stream._window.frames) == T


def _answers_of(stream, frames) -> None:
    assert sum(stream.push(frame) is not None for frame in frames) in (len(frames) // 2 - 1, len(frames) // 2)


@pytest.mark.parametrize("frame", [
    np.zeros((48, 64), np.uint8), np.zeros((48, 64, 4), np.uint8), np.zeros((48, 64, 3)),
    np.zeros((0, 64, 3), np.uint8), None, "clip.mp4"
])  # fmt: skip
def test_what_is_no_frame_does_not_count(frame, video):
    predictor, frames = predictor_of("both"), frames_of(video, 48, 64)
    stream = predictor.stream(every=3)
    expected = answers_to(predictor.stream(every=3), frames)
    for index, good in enumerate(frames):
        with pytest.raises(UserError, match=rf"frame {index} is .*: push frames of uint8 RGB \[H, W, 3\]"):
            stream.push(frame)
        answer = stream.push(good)
        assert (answer is None) == (index not in expected)
        if answer:
            np.testing.assert_array_equal(answer.probabilities, expected[index].probabilities)


def test_mistakes():
    with pytest.raises(UserError, match="flow leads from one frame to the next, and this run takes one"):
        Predictor(random_trained("tiny,luminous=flow", **{"data.num_frames": 1})).stream()
    predictor = predictor_of("both")
    with pytest.raises(UserError, match="every=0"):
        predictor.stream(every=0)
    stream = predictor.stream()
    stream.push(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UserError, match="frame 1 has 64x50 px, the first had 64x48: make another stream"):
        stream.push(np.zeros((50, 64, 3), np.uint8))
    stream = predictor_of("flow").stream()
    narrow = np.zeros((400, 2, 3), np.uint8)
    stream.push(narrow)
    with pytest.raises(UserError, match="frame 1 cannot be used .*too small or too narrow for optical flow"):
        stream.push(narrow)


@pytest.mark.slow
def test_the_example_of_the_documentation(video, tmp_path, monkeypatch, capsys):
    """docs/use.md as it stands, on a run and a file that is read frame by frame."""
    section = (ROOT / "docs" / "use.md").read_text().split("## Streams")[1]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    write_run(predictor_of("both").trained, tmp_path / "RUN")
    (tmp_path / "clip.mp4").symlink_to(video)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    said = capsys.readouterr().out.splitlines()
    frames, predictor = frames_of(video, 48, 64), predictor_of("both")
    assert [line.split(":")[0] for line in said] == ["3", "8", "13"]
    for line in said:
        index = int(line.split(":")[0])
        expected = predictor(np.stack(frames[index - T + 1 : index + 1]))
        assert re.fullmatch(rf"{index}: {expected.label} {100 * expected.probability:.1f} % \(\d+ ms\)", line), line


@pytest.mark.parametrize(("every", "looks"), [_slow(1, 14), (2, 13), _slow(3, 5), _slow(4, 11), (13, 5)])
def test_frames_that_a_window_passes_over_are_not_looked_at(every, looks, video):
    """Windows of four frames, three apart: of the frames 0, 3, 6, 9 and so on."""
    predictor = Predictor(random_trained("tiny", **{"data.sampling": "window", "data.stride": 3}))
    frames, seen = frames_of(video, 48, 64), []
    stream = predictor.stream(every=every)
    programs = stream._programs
    stream._programs = dataclasses.replace(programs, token=lambda frame: seen.append(frame) or programs.token(frame))
    answers = answers_to(stream, frames)
    assert list(answers) == [*range(9, 14, every)]
    for index, answer in answers.items():
        expected = predictor(np.stack(frames[index - 9 : index + 1]))
        np.testing.assert_allclose(answer.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    assert len(seen) == looks
