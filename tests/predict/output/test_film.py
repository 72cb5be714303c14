"""Films of answers: the video itself, with what was answered burnt in."""

import csv
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.predict import __main__ as predict
from lift_flax.predict.answers import ClipAnswer, VideoAnswer
from lift_flax.predict.output import film
from lift_flax.predict.output.film_frame import FilmFrames, _colour, film_size
from lift_flax.video.decode import decode_frames, iter_frames
from lift_flax.video.inspection import inspect_video
from tests import ROOT
from tests.conftest import moving_bar
from tests.support.containers.timed_videos import write_timed
from tests.support.video_files import write_video

CLASSES = ("down", "right", "still")


def _answer(seconds: float, *, sure: bool = True) -> VideoAnswer:
    """Down in the first half, then still, each in windows of a second."""
    clips = []
    for start in np.arange(0, seconds - 0.5, 0.5):
        shares = np.array([0.7, 0.2, 0.1] if start + 0.5 < seconds / 2 else [0.1, 0.3, 0.6], np.float32)
        label = CLASSES[int(shares.argmax())]
        clips.append(ClipAnswer(float(start), float(start) + 1, label, float(shares.max()), sure, shares))
    return VideoAnswer("v.mp4", CLASSES, np.array([0.4, 0.3, 0.3]), tuple(clips), sure=sure, is_long=True)


@pytest.mark.parametrize(("size", "expected"), [
    ((1920, 1080), (1280, 720)), ((64, 48), (480, 360)), ((641, 359), (640, 360)), ((3, 4000), (64, 2160)),
])  # fmt: skip
def test_sizes(size, expected):
    assert film_size(*size) == expected


def test_the_film_is_the_video_with_its_answer(tmp_path):
    frames = np.concatenate([moving_bar(1, 0, 30), 4 * moving_bar(2, 0, 30)])
    source = write_video(tmp_path / "v.mp4", frames, fps=15)
    told: list[float] = []
    film.write(tmp_path / "films" / "v.mp4", source, _answer(4.0), tell=told.append)
    path = tmp_path / "films" / "v.mp4"
    info, shown = inspect_video(path), decode_frames(path)
    assert (len(shown), info.timing.fps, info.width) == (60, pytest.approx(15), 480) and not info.notes
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert told[-1] == 1 and told == sorted(told)
    below = shown[:, 360:].astype(int)  # [T, h, 480, 3]
    bars, first, last = below[:, : -2 * 14 - 20], below[3], below[-4]
    assert np.abs(bars[10] - bars[20]).mean() < 1 < np.abs(bars[10] - bars[50]).mean()  # down, down, still
    row = below.shape[1] - 14 - 14 - 7  # within the timeline
    for x, label in ((120, 0), (360, 2)):
        for frame in (first, last):
            assert np.abs(frame[row, x] - _colour(label)).max() < 25
    assert (np.abs(first - last).max(axis=(0, 2)) > 100).any()  # the mark of the moment has moved
    small = shown[:, :360].reshape(60, 45, 8, 60, 8, 3).mean(axis=(2, 4))  # [T, 45, 60, 3]
    centre = small[:, 20:40].mean(axis=(1, 2, 3))
    of_source = decode_frames(source)[:, 21:43].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(centre, of_source, atol=4)


def test_unsure_spans_are_grey():
    def pixels(sure: bool) -> np.ndarray:
        drawn = FilmFrames(_answer(4.0, sure=sure), (480, 360), 4.0).draw(np.zeros((360, 480, 3), np.uint8), 0.0)
        return drawn[-35, [120, 360]]

    assert np.ptp(pixels(False), axis=-1).max() < 30 < np.ptp(pixels(True), axis=-1).min()
    drawing = FilmFrames(_answer(4.0), (480, 360), 4.0)
    assert [drawing.part_at(second) for second in (0.0, 0.7, 0.8, 3.9)] == [0, 0, 1, 6]


def test_frames_keep_their_times(tmp_path):
    """A recorder that drops frames: the film drops the same."""
    numbers = [*range(10), *range(10, 40, 5)]
    frames = np.concatenate([moving_bar(1, 0, 16)])
    source = write_timed(tmp_path, "mp4", [Fraction(n, 20) for n in numbers], frames=frames)
    film.write(tmp_path / "film.mp4", source, _answer(2.0))
    of_film, of_source = inspect_video(tmp_path / "film.mp4").timing, inspect_video(source).timing
    np.testing.assert_allclose(of_film.times, of_source.times, atol=1e-4)
    assert len(of_film.times) == 16 == len(list(iter_frames(tmp_path / "film.mp4")))


def test_places_where_no_film_can_be(tmp_path):
    videos = [write_video(tmp_path / f"{name}.mp4", moving_bar(0, 0, 4)) for name in "ab"]
    (tmp_path / "films").mkdir()
    assert film.targets(tmp_path / "x.mp4", videos[:1], overwrite=False) == [tmp_path / "x.mp4"]
    assert film.targets(tmp_path / "films", videos, overwrite=False) == [tmp_path / "films" / f"{n}.mp4" for n in "ab"]
    for out, given, overwrite, message in (
        (tmp_path / "x.mp4", videos, False, "is one film, and there are 2 videos: name a folder"),
        (tmp_path / "a.mp4", videos[1:], False, "a.mp4 exists"),
        (tmp_path / "a.mp4", videos[:1], True, "would replace the video itself"),
        (tmp_path, videos, True, "would replace the video itself"),
        (tmp_path / "missing" / "x.mp4", videos[:1], False, "missing does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            film.targets(out, given, overwrite=overwrite)
    with pytest.raises(UserError, match="b.mp4 cannot be filmed: "):
        videos[1].write_bytes(b"no video")
        film.write(tmp_path / "y.mp4", videos[1], _answer(2.0))
    assert not (tmp_path / "y.mp4").exists()


@pytest.mark.slow
def test_the_command_writes_films_table_and_embeddings(run, records, tmp_path, capsys):
    videos = sorted((records.parent / "videos" / "test").rglob("*.mp4"))[:2]
    bad, out = tmp_path / "bad.mp4", tmp_path / "out"
    bad.write_bytes(videos[0].read_bytes()[:700])
    out.mkdir()
    files = [f"--csv={out / 'a.csv'}", f"--embeddings={out / 'a.npz'}", f"--film={out / 'films'}"]
    listed = [str(videos[0]), str(bad), str(videos[1])]
    with pytest.raises(UserError, match="1 of 3 videos could not be used"):
        predict.main([f"--workdir={run}", *files, *listed])
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.out.splitlines() if not line.startswith("  ")] == listed
    names = sorted(path.name for path in (out / "films").iterdir())
    assert names == sorted(f"{path.stem}.mp4" for path in videos) and printed.err.count("film: ") == 2
    for path in videos:
        assert len(decode_frames(out / "films" / path.name)) == len(decode_frames(path))
    head, *rows = csv.reader((out / "a.csv").read_text().splitlines())
    assert [row[0] for row in rows] == [listed[0], listed[2]] and len(head) == 6
    with np.load(out / "a.npz") as found:
        assert found["videos"].tolist() == [listed[0], listed[2]] and found["embeddings"].shape == (2, 128)
        assert found["labels"].tolist() == [row[3] for row in rows]
    with pytest.raises(UserError, match=r"a\.npz exists"):
        predict.main([f"--workdir={run}", *files, *listed])


PEAK = """
import resource, sys
from pathlib import Path
from lift_flax.predict.output import film
from tests.predict.output.test_film import _answer
film.write(Path(sys.argv[2]), Path(sys.argv[1]), _answer(float(sys.argv[3])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path):
    peaks = []
    for seconds in (6, 40):
        frames = np.concatenate([moving_bar(1, 0, 50)] * (seconds // 2))
        source = write_video(tmp_path / f"{seconds}.mp4", frames, fps=25)
        command = [sys.executable, "-c", PEAK, str(source), str(tmp_path / f"film{seconds}.mp4"), str(seconds)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(float(ended.stdout))
    assert peaks[1] - peaks[0] < 20, peaks  # MiB; all frames of the longer film would take 600 MiB
