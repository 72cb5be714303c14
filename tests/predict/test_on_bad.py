"""Damaged videos are errors or answers with a note; whatever a coder raises, the other videos are answered."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lift_flax
from lift_flax.errors import UserError
from lift_flax.predict import __main__ as predict
from tests.support.containers.damaged_videos import encode
from tests.support.containers.formats import FORMATS, Format, write
from tests.support.video_files import numbered_frames


@pytest.fixture(scope="module")
def load(run) -> Callable[..., lift_flax.LoadedRun]:
    return functools.cache(lambda **options: lift_flax.load(run, batch_size=1, **options))


@pytest.fixture(scope="module")
def suspicious(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that are cut off, have a hole, or decode wrongly in part; {how the reason begins: path}."""
    folder = tmp_path_factory.mktemp("suspicious")
    noise = np.random.default_rng(0).integers(0, 40, (60, 64, 96, 3))
    frames = (numbered_frames(range(60)) * 0.75 + noise).astype(np.uint8)
    mkv = write(folder / "cut.mkv", FORMATS["plain.mkv"], frames)
    mkv.write_bytes(mkv.read_bytes()[: mkv.stat().st_size // 2])
    mp4 = write(folder / "hole.mp4", FORMATS["last.mp4"], frames)
    data = bytearray(mp4.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    mp4.write_bytes(data)
    return {"truncated: only": mkv, "damaged: ": mp4}


def test_a_damaged_video_is_an_error_or_a_note(load, suspicious) -> None:
    errors = list(load().each(suspicious.values()))
    answers = list(load(on_bad="warn").each(suspicious.values()))
    for words, refused, answer in zip(suspicious, errors, answers, strict=True):
        assert refused.error.startswith(words)
        assert not answer.error and answer.notes[0].startswith(words) and answer.label in answer.classes
        assert len(answer.timeline) == 1 and 0 < answer.timeline[0].end < 2.1


def test_another_word_is_refused(run) -> None:
    with pytest.raises(UserError, match="on_bad='skip' is unknown: choose error or warn"):
        lift_flax.load(run, on_bad="skip")


def test_frames_of_a_damaged_video_are_those_that_decode(load, suspicious) -> None:
    for path in suspicious.values():
        with pytest.raises(UserError, match="cannot be used"):
            list(load().read(path))
        (clip,) = load(on_bad="warn").read(path)
        assert clip.parts["clip"].shape[0] == 4


@pytest.mark.slow
def test_the_flag(run, suspicious, capsys) -> None:
    predict.main(["--workdir", str(run), "--batch-size=1", "--on-bad=warn", str(suspicious["truncated: only"])])
    assert "\n  note: truncated: only" in capsys.readouterr().out


def test_errors_of_coders_cost_one_video_each(load, tmp_path) -> None:
    """A matrix without a like, pictures too wide to encode or too small, no video, packets of another codec."""
    good = write(tmp_path / "good.mp4", FORMATS["last.mp4"], count=8)
    matrix = write(tmp_path / "matrix.mp4", Format(), header={"colorspace": 14}, count=8)
    wide = encode(tmp_path / "wide.mkv", np.zeros((2, 4, 17000, 3), np.uint8), "ffv1", "bgr0")
    dot = encode(tmp_path / "dot.mkv", np.zeros((3, 2, 2, 3), np.uint8), "ffv1", "bgr0")
    (text := tmp_path / "text.mp4").write_bytes(b"no video" * 500)
    data = good.read_bytes()
    (other := tmp_path / "other.mp4").write_bytes(data.replace(b"avc1", b"hvc1").replace(b"avcC", b"hvcC"))
    bad = [matrix, wide, dot, text, other, tmp_path / "missing.mp4", tmp_path]
    listed = [path for one in bad for path in (one, good)]
    answers = list(load().each(listed))
    assert [answer.video for answer in answers] == [str(path) for path in listed]
    assert all(not answer.error for answer in answers[1::2])
    assert answers[0].error == "cannot be processed: colour matrix ICtCp"
    assert all("\n" not in answer.error for answer in answers[::2])
    assert all(answers[2 * bad.index(path)].error for path in (matrix, text, other, tmp_path))
