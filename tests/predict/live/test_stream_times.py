"""Frames with times: the window lasts as long as the clips that a run has learnt from, whatever the camera does."""

import copy
import dataclasses

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.predict.live.smoothing import Smoothing
from tests.predict.live.stream_tools import answers_to, frames_of, predictor_of


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize("kind", ["both", _slow("flow"), _slow("teacher")])
def test_frames_with_times_span_the_seconds_of_the_training_clips(kind, video):
    """A camera of 10 frames a second, whatever comes between: of 0.8 s four frames, at 0.1, 0.3, 0.5 and 0.7."""
    known, frames = predictor_of(kind), frames_of(video, 48, 64)
    predictor = copy.copy(known)
    predictor.trained = dataclasses.replace(known.trained, clip_seconds=0.8)
    timed, counted = predictor.stream(every=3), predictor.stream(every=3, fps=10.0)
    by_time = {i: answer for i, frame in enumerate(frames) if (answer := timed.push(frame, 5 + i / 10))}
    by_number = answers_to(counted, frames)
    assert list(by_time) == list(by_number) == [7, 10, 13]
    for index, answer in by_time.items():
        clip = np.stack([frames[index - 7 + place] for place in (1, 3, 5, 7)])
        if kind != "flow":  # that of an array is between the frames it holds
            np.testing.assert_allclose(answer.probabilities, known(clip).probabilities, rtol=0, atol=1e-5)
        np.testing.assert_allclose(answer.probabilities, by_number[index].probabilities, rtol=0, atol=1e-6)
        assert answer.time == 5 + index / 10 and by_number[index].time is None
    assert np.ptp([answer.probabilities for answer in by_time.values()], axis=0).max() > 1e-3


def test_a_camera_that_stalls_shows_its_last_frame(video):
    predictor, frames = predictor_of("both"), frames_of(video, 48, 64)
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
            predictor_of("both").stream(**options)


def test_times_that_cannot_be(video):
    predictor, frames = predictor_of("both"), frames_of(video, 48, 64)
    stream = predictor.stream(seconds=0.4)
    with pytest.raises(UserError, match="this stream takes 4 frames in 0.4 s: push each frame with its time"):
        stream.push(frames[0])
    stream.push(frames[0], 1.0)
    for time in (1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="frame 1 is of .* s, the one before of 1.0 s: times must grow"):
            stream.push(frames[1], time)
    with pytest.raises(UserError, match="frame 1: give a time for every frame of a stream, or for none"):
        stream.push(frames[1])


@pytest.mark.slow
def test_memory_does_not_grow_with_times(video):
    frames, stream = frames_of(video, 48, 64), predictor_of("flow").stream(every=2, seconds=0.5)
    for number in range(2000):
        stream.push(frames[number % len(frames)], number / 60)
    assert len(stream._window.frames) == 32  # of half a second, and two before it
    with pytest.raises(UserError, match="times must grow"):
        stream.push(frames[0], 1.0)
