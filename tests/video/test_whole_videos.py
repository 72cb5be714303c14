"""Files that are odd but whole are read, all frames in order, with a note where something about them matters."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lift_flax.video import decode
from lift_flax.video.inspection import inspect_video
from tests.support.containers import of_ffmpeg, whole
from tests.support.containers.whole import Whole
from tests.support.video_files import read_numbers


@pytest.mark.parametrize("make", whole.ALL)
def test_odd_files_that_are_whole(make: Callable[[Path], Iterator[Whole]], tmp_path: Path) -> None:
    """Two of each kind."""
    assert _read_all(itertools.islice(make(tmp_path), 2)) == 2


@pytest.mark.slow
def test_all_odd_files_that_are_whole(tmp_path: Path) -> None:
    """Container x codec x rate x pixel format x start x pauses x rotation x interlacing x sound."""
    count = _read_all(itertools.chain.from_iterable(make(tmp_path) for make in whole.ALL))
    assert count >= 160
    print(f"{count} odd but whole videos read", end=" ")


@pytest.mark.slow
def test_odd_files_of_the_ffmpeg_program(ffmpeg: str, tmp_path: Path) -> None:
    """What only the program writes: edit lists, copied parts, repeated headers, other clocks."""
    count = _read_all(of_ffmpeg.files(ffmpeg, tmp_path))
    assert count >= 20
    print(f"{count} odd but whole videos of ffmpeg read", end=" ")


def _read_all(files: Iterator[Whole]) -> int:
    count = 0
    for file in files:
        info = inspect_video(file.path)
        frames = decode.decode_frames(file.path)
        assert len(frames) == info.num_frames, file.path.name
        if not file.turned:
            shown = read_numbers(frames)
            follow_each_other = list(range(shown[0], shown[0] + len(shown)))
            assert shown == (file.numbers or follow_each_other), (file.path.name, info.notes)
        assert not file.note or any(file.note in note for note in info.notes), (file.path.name, info.notes)
        assert not [note for note in info.notes if note.startswith(("truncated", "damaged"))], file.path.name
        count += 1
    return count
