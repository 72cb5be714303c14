"""The benchmark of the input pipeline measures what it says: the same frames by every reader, and finite times."""

import importlib

import numpy as np
import pytest

from lift_flax.errors import UserError
from tests import ROOT
from tests.support.video_files import numbered_frames, write_video

FLAGS = ["--frames=4", "--size=64", "--rounds=1", "--batches=1"]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch):
    """The script as a module, found as Python finds it when the script is run."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("input_pipeline")


def _missing():
    raise ImportError("no such reader\nand more lines")


@pytest.mark.slow
def test_readers_agree_and_times_are_finite(pipeline, tmp_path, monkeypatch, capsys):
    for number in range(3):
        frames = numbered_frames(range(10 + number), 128, 128)
        write_video(tmp_path / "videos" / f"deep/{number}.mp4", frames)
    readers = importlib.import_module("video_readers")
    late = lambda video, indices, size: readers.plain_pyav(video, np.maximum(indices - 1, 0), size)  # noqa: E731
    chosen = {name: readers.READERS[name] for name in ("this project", "plain PyAV")}
    monkeypatch.setattr(readers, "READERS", {**chosen, "one late": lambda: late, "foreign": _missing})

    flags = ["--videos", str(tmp_path / "videos"), "--work", str(tmp_path / "work"), *FLAGS]
    results, loader = pipeline.main(flags)
    shown = capsys.readouterr().out
    names = [(r.method, r.reads) for r in results]
    originals = [(name, "originals") for name in ("this project", "plain PyAV", "one late")]
    assert names == [("this project", "records"), *originals]
    for r in results:
        for values in (r.cpu, r.wall, r.difference):
            assert values.shape == (3,) and np.isfinite(values).all()
        assert (r.wall > 0).all() and 0 < r.cpu.sum() < 10
    *right, wrong = results
    assert max(r.difference.max() for r in right) < pipeline.SAME < wrong.difference.max()
    assert "one late on originals DIFFERS" in shown and shown.count("DIFFERS") == 1
    assert "not available: foreign (ImportError: no such reader)\n" in shown
    assert set(loader) == {0, 2}
    for cpu, wall in loader.values():
        assert 0 < cpu < 1 and 0 < wall < 10
    assert (tmp_path / "work" / "records" / "prep_report.json").is_file()


def test_too_few_videos_are_named(pipeline, tmp_path):
    write_video(tmp_path / "one.mp4", numbered_frames(range(3)))
    with pytest.raises(UserError, match="holds 1 videos and --limit is 40: at least three are needed"):
        pipeline.main(["--videos", str(tmp_path)])
