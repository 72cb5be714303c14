"""Events of a long video, and what is said of them."""

import dataclasses

import numpy as np
import pytest

from lift_flax.predict.answers import ClipAnswer, VideoAnswer
from lift_flax.predict.output.lines import as_json, as_text


def _long(labels: str, unsure: str = "") -> VideoAnswer:
    """Windows of 4 s every 2 s with these labels; `unsure` has a ? for each that is unsure."""
    moments = tuple(
        ClipAnswer(2.0 * i, 2.0 * i + 4, label, 0.5 + 0.1 * i, unsure[i : i + 1] != "?", np.array([0.1 * i, 0]))
        for i, label in enumerate(labels)
    )
    return VideoAnswer("v", ("a", "b"), np.array([0.6, 0.4]), moments, is_long=True)


def test_events_join_what_is_alike():
    found = _long("aabba").events
    assert [(s.start, s.end, s.label) for s in found] == [(0, 5, "a"), (5, 9, "b"), (9, 12, "a")]
    assert [s.probability for s in found] == pytest.approx([0.55, 0.75, 0.9]) and all(s.sure for s in found)
    assert [s.probabilities[0] for s in found] == pytest.approx([0.05, 0.25, 0.4])
    unsure = _long("aaab", " ??").events
    assert [(s.start, s.end, s.label, s.sure) for s in unsure] == [
        (0, 3, "a", True),
        (3, 7, "a", False),
        (7, 10, "b", True),
    ]
    assert VideoAnswer("v", ("a", "b"), np.array([0.6, 0.4])).events == []
    short = VideoAnswer("v", ("a", "b"), np.array([0.6, 0.4]), _long("bbb").timeline, sure=False)
    assert short.events == [ClipAnswer(0.0, 8.0, "a", 0.6, False)]  # places of one clip


@pytest.mark.parametrize(
    ("labels", "unsure", "expected"),
    [
        ("aab", "", ["v: a 55.0 % 0:00.0 to 0:05.0, b 70.0 % 0:05.0 to 0:08.0   (3 clips, each"]),
        ("aab", " ? ", ["v: a 50.0 % 0:00.0 to 0:03.0, b 70.0 % 0:05.0 to 0:08.0   (3 clips, each"]),
        ("ab", "??", ["v: unsure: a 60.0 %, b 40.0 %   (2 clips"]),
    ],
)
def test_the_first_line_of_a_long_video_names_its_events(labels, unsure, expected):
    found = as_text(_long(labels, unsure), top=3).splitlines()
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


def test_an_unsure_answer_says_so():
    answer = VideoAnswer("v", ("Walk", "Run"), np.array([0.34, 0.33]), sure=False)
    assert as_text(answer, top=1).startswith("v: unsure: Walk 34.0 %   (") and as_json(answer)["sure"] is False
    assert as_text(dataclasses.replace(answer, sure=True), top=1).startswith("v: Walk 34.0 %   (")


def test_many_events_follow_one_a_line():
    first, *rest = as_text(_long("abababa", "     ? "), top=3).splitlines()
    assert first.startswith("v: a 50.0 % 0:00.0 to 0:03.0, b 60.0 % 0:03.0 to 0:05.0, a 70.0 % 0:05.0 to 0:07.0, b 80")
    assert " 0:09.0 to 0:11.0 and 1 more   (7 clips" in first
    assert rest[5:] == ["  0:11.0 to 0:13.0  unsure: b 100.0 %", "  0:13.0 to 0:16.0  a 110.0 %"] and len(rest) == 7


def test_json_of_a_long_video_has_events_and_timeline():
    found = as_json(_long("aab", " ? "))
    assert [event["sure"] for event in found["events"]] == [True, False, True] and len(found["timeline"]) == 3
    assert found["events"][1] == {"start": 3.0, "end": 5.0, "label": "a", "probability": 0.6, "sure": False}
    short = as_json(dataclasses.replace(_long("aab"), is_long=False))
    assert "events" not in short and len(short["timeline"]) == 3
