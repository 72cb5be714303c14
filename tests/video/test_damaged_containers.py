"""Damage in every container: refused, noted, or hidden by a codec that has no checksums; never a crash or a hang."""

import collections
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lift_flax.video import decode, scaling
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors, inspect_video
from tests.support.containers import damaged_videos
from tests.support.containers.formats import FORMATS, write
from tests.support.video_files import numbered_frames

SLOWEST = 5.0  # seconds for one file
MISCOUNT = 2  # frames that a file may lack at an end


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a damaged file: refused, noted, right, wrong, or hidden: all frames are there, not all right."""

    name: str
    verdict: str
    words: str


def test_damage_in_some_containers(tmp_path: Path) -> None:
    """Cut, flipped, zeroed: one container with an index, one with ends, one with neither."""
    outcomes = list(_try_all(tmp_path, ("last.mp4", "sound.mkv", "h264.ts"), cuts=3, mutants=7))
    assert not [outcome for outcome in outcomes if outcome.verdict == "wrong"]
    assert _count(outcomes)["refused"] > len(outcomes) / 2


@pytest.mark.slow
def test_damage_in_all_containers(tmp_path: Path) -> None:
    outcomes = list(_try_all(tmp_path, tuple(FORMATS), cuts=8, mutants=14))
    counts = _count(outcomes)
    assert not [outcome for outcome in outcomes if outcome.verdict == "wrong"]
    assert counts["refused"] >= 400 and counts["refused"] + counts["noted"] >= 0.85 * len(outcomes)
    assert counts["hidden"] <= 0.05 * len(outcomes)
    print(f"{len(outcomes)} damaged videos in {len(FORMATS)} formats: {dict(counts)}", end=" ")


def _count(outcomes: list[Outcome]) -> collections.Counter[str]:
    return collections.Counter(outcome.verdict for outcome in outcomes)


def _try_all(folder: Path, names: tuple[str, ...], *, cuts: int, mutants: int) -> Iterator[Outcome]:
    for number, name in enumerate(names):
        format = FORMATS[name]
        noise = np.random.default_rng(0).integers(0, 40, (48, *format.size[::-1], 3))
        frames = (numbered_frames(range(48), *format.size) * 0.75 + noise).astype(np.uint8)
        source = write(folder / name, format, frames)
        whole = _small(source.read_bytes())
        damaged = [*damaged_videos.truncations(source, cuts), *damaged_videos.mutations(source, mutants, number)]
        for title, data in damaged:
            since = time.monotonic()
            outcome = _try(title, data, whole)
            assert time.monotonic() - since < SLOWEST, title
            yield outcome


def _try(title: str, data: bytes, whole: np.ndarray) -> Outcome:
    try:
        with coder_errors():
            info = inspect_video(data)
            shown = _small(data)
    except VideoError as error:
        assert str(error) and "\n" not in str(error)
        return Outcome(title, "refused", str(error))
    assert len(shown) == info.num_frames, title
    if info.notes:
        return Outcome(title, "noted", "; ".join(info.notes))
    if abs(len(shown) - len(whole)) > MISCOUNT or shown[0].shape != whole[0].shape:
        return Outcome(title, "wrong", f"{len(shown)} frames")
    distance = max(float(np.abs(whole - frame).mean(axis=(1, 2, 3)).min()) for frame in shown)
    return Outcome(title, "right" if distance < 8 else "hidden", f"{distance:.0f} levels off")


def _small(data: bytes) -> np.ndarray:
    """Every frame on a coarse grid, int [T,h,w,3]; frames of another size than the first are black."""
    frames = [decode_rgb[::4, ::4].astype(int) for decode_rgb in _rgb(data)]
    return np.stack([frame if frame.shape == frames[0].shape else np.zeros_like(frames[0]) for frame in frames])


def _rgb(data: bytes) -> Iterator[np.ndarray]:
    for _, frame in decode.iter_frames(data):
        yield frame.to_ndarray(format="rgb24", interpolation=scaling.EXACT_AREA)
