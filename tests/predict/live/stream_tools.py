"""Runs of every kind that a stream must know, frames one by one, and the answers to them."""

import functools
from pathlib import Path

import numpy as np

from lift_flax.predict.predictor import Predictor
from lift_flax.video.decode import iter_frames
from tests.support.readings import READINGS
from tests.support.trained_tools import random_trained

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


@functools.cache
def predictor_of(kind: str) -> Predictor:
    arg, fields, network = KINDS[kind]
    return Predictor(random_trained(arg, **fields), network=network)


def frames_of(video: Path, height: int, width: int) -> list[np.ndarray]:
    """Decoded one by one, and the upper left of each."""
    return [frame.to_ndarray(format="rgb24")[:height, :width] for _, frame in iter_frames(video)]


def answers_to(stream, frames) -> dict:
    found = [stream.push(frame) for frame in frames]
    for index, answer in enumerate(found):
        assert answer is None or answer.index == index
    return {answer.index: answer for answer in found if answer}
