"""Answers as CSV, which a spreadsheet may open."""

import csv
import os

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.predict import __main__ as predict
from lift_flax.predict.answers import ClipAnswer, VideoAnswer
from lift_flax.predict.output import table

FAILED = VideoAnswer("bad.mp4", ("a",), np.empty(0, np.float32), error="no such file")


def _answer(video: str, label: str) -> VideoAnswer:
    timeline = (ClipAnswer(0.0, 4.0, label, 0.6), ClipAnswer(2.0, 6.0, "b", 0.5, False))
    return VideoAnswer(video, (label, "b"), np.array([0.6, 0.4]), timeline, is_long=True)


def _read(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def test_a_row_for_each_event(tmp_path, capsys):
    path = tmp_path / "found.csv"
    with table.written(path) as take:
        for answer in (_answer('a, "b".mp4', "Walk"), FAILED, _answer("caf\udce9.mp4", "走る")):
            take(answer)
        assert not path.exists()
    head, *found = _read(path.read_text("utf-8"))
    assert head == ["video", "start", "end", "label", "probability", "sure"]
    assert found[0] == ['a, "b".mp4', "0.000", "3.000", "Walk", "0.600000", "true"]
    assert found[1] == ['a, "b".mp4', "3.000", "6.000", "b", "0.500000", "false"]
    assert [row[0] for row in found[2:]] == [r"caf\udce9.mp4"] * 2 and found[2][3] == "走る"
    take = table.printed()
    take(_answer("a.mp4", "Walk"))
    take(FAILED)
    printed = capsys.readouterr()
    assert len(_read(printed.out)) == 3 and printed.err == "bad.mp4: error: no such file\n"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_name_is_a_formula(name):
    video, *_, label, _, _ = next(table.rows(_answer(f"{name}.mp4", name)))
    assert (video, label) == (f"'{name}.mp4", f"'{name}")
    assert next(table.rows(_answer("a=1.mp4", "b-c")))[0] == "a=1.mp4"


def test_nothing_else_is_replaced(tmp_path):
    video = tmp_path / "a.avi"
    video.write_bytes(b"mine")
    os.mkfifo(tmp_path / "pipe.csv")
    for flags, message in (
        ([f"--csv={video}", "--overwrite"], "a.avi is a video that is read"),
        (
            [f"--csv={tmp_path / 'o.npz'}", f"--embeddings={tmp_path / 'o.npz'}"],
            "o.npz is a video that",
        ),
        ([f"--csv={tmp_path / 'pipe.csv'}", "--overwrite"], "pipe.csv is no regular file"),
        (["--csv=/proc/found.csv"], "cannot write /proc/found.csv"),
        ([f"--film={tmp_path / 'film.avi'}"], "a film is a .mp4"),
    ):
        with pytest.raises(UserError, match=message):
            predict.main([*flags, str(video)])
    assert video.read_bytes() == b"mine"


def test_a_failure_within_leaves_no_file(tmp_path):
    with pytest.raises(KeyError), table.written(tmp_path / "found.csv") as take:
        take(_answer("a.mp4", "Walk"))
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_are_refused_before_anything_is_read(tmp_path):
    (tmp_path / "old.csv").write_text("mine")
    for flags, message in (
        (["--csv", "--json"], "--csv and --json both print"),
        ([f"--csv={tmp_path}"], "name a file in a folder that exists"),
        ([f"--csv={tmp_path / 'old.csv'}"], "old.csv exists"),
        ([f"--embeddings={tmp_path / 'x.npy'}"], "ends in .npz"),
    ):
        with pytest.raises(UserError, match=message):
            predict.main([f"--workdir={tmp_path / 'missing'}", *flags, "clip.mp4"])
    assert (tmp_path / "old.csv").read_text() == "mine"
