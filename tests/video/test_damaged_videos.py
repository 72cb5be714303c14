"""Whatever a file holds: no crash, no hang, and either the frames that were filmed or a reason why not."""

import json
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import pytest

from data_prep import staging
from data_prep.sources.video_list import SourceClip
from data_prep.transcode import Encoding, Transcoded, transcode
from lift_flax.video import decode, scaling
from lift_flax.video.decode import VideoError
from lift_flax.video.guarded import pool
from lift_flax.video.inspection import coder_errors, inspect_video
from tests.support.containers import damaged_videos
from tests.support.containers.formats import join
from tests.support.video_files import numbered_frames, read_numbers, write_video

TIME_LIMIT = 20.0  # seconds for one file
ENCODING = Encoding(short_side=64)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("odd")
    return folder, damaged_videos.odd_files(folder)


def test_every_odd_thing_is_named(odd) -> None:
    folder, expected = odd
    for name, words in expected.items():
        try:
            said = "; ".join(inspect_video(folder / name).notes)
        except VideoError as error:
            said = str(error)
        assert words in said and (words or not said), (name, said)
        assert "\n" not in said


@pytest.mark.parametrize("codec", ["h264", "jpeg", "original"])
def test_odd_videos_are_stored_right(odd, codec: str) -> None:
    """Frames in order, upright and of one size, whatever the file they are from."""
    folder, _ = odd
    encoding = Encoding(codec=codec, short_side=64)
    for name in ("plain.mp4", "duration.mp4", "ten.mkv", "grey.mkv", "alpha.mkv", "rgb.mkv", "vfr.mkv", "really.avi",
                 "really.mp4", "old.avi", "web.webm", "fragments.ts"):  # fmt: skip
        frames = _stored_frames(transcode(folder / name, encoding))
        assert read_numbers(frames) == list(range(30)), name
    plain = _stored_frames(transcode(folder / "plain.mp4", encoding)).astype(int)
    undo = {  # what players do, undone
        "90": lambda x: np.rot90(x, 1, axes=(1, 2)),
        "180": lambda x: x[:, ::-1, ::-1],
        "270": lambda x: np.rot90(x, -1, axes=(1, 2)),
        "mirror": lambda x: x[:, :, ::-1],
        "upside": lambda x: x[:, ::-1],
        "mirror90": lambda x: np.rot90(x[:, :, ::-1], -1, axes=(1, 2)),
        "tilt": lambda x: x,
    }
    for how, back in undo.items():
        turned = _stored_frames(transcode(folder / f"turned-{how}.mp4", encoding))
        assert np.abs(back(turned) - plain).mean() < 3, how
    changed = _stored_frames(transcode(folder / "sizes.h264", encoding))
    assert read_numbers(changed) == [*range(30), *range(30)]
    assert _stored_frames(transcode(folder / "odd.mkv", encoding)).shape[0] == 30


def test_a_video_damaged_in_every_way(tmp_path: Path) -> None:
    """One of each: cut, flipped in one, nine or 99 bits, zeroed, doubled, dropped, swapped."""
    _check_damaged([write_video(tmp_path / "last.mp4", _textured(48))], tmp_path, cuts=2, mutants=7, at_least=9)


@pytest.mark.slow
def test_two_hundred_damaged_videos(tmp_path: Path) -> None:
    """Cut anywhere, flipped, zeroed, doubled, dropped, swapped, in four containers."""
    frames = _textured(48)
    sources = [
        write_video(tmp_path / "last.mp4", frames),
        write_video(tmp_path / "first.mp4", frames, index_first=True),
        damaged_videos.encode(tmp_path / "old.avi", frames, "mpeg4"),
        damaged_videos.encode(tmp_path / "new.mkv", frames),
    ]
    _check_damaged(sources, tmp_path, cuts=25, mutants=28, at_least=212)


@pytest.mark.slow
def test_damaged_real_videos(real_data: Path, tmp_path: Path) -> None:
    """The same with clips of ARID."""
    sources = sorted((real_data / "arid_subset" / "clips").glob("*/*.mp4"))[::40]
    _check_damaged(sources, tmp_path, cuts=20, mutants=21, at_least=205)


def _check_damaged(sources: list[Path], folder: Path, cuts: int, mutants: int, at_least: int):
    made: dict[str, np.ndarray] = {}
    tasks = {}
    for number, source in enumerate(sources):
        whole = decode.decode_frames(source)  # [T, H, W, 3]
        damaged = [*damaged_videos.truncations(source, cuts), *damaged_videos.mutations(source, mutants, number)]
        for name, data in damaged:
            path = folder / f"{number}-{name}"
            path.write_bytes(data)
            made[path.name] = whole
            tasks[path.name] = (path, ENCODING)
    assert len(tasks) >= at_least
    started = time.monotonic()
    results = dict(pool.run_each(transcode, tasks, workers=2, time_limit=TIME_LIMIT))
    assert time.monotonic() - started < TIME_LIMIT * len(tasks) / 2
    assert results.keys() == tasks.keys()
    refused = {name: str(result) for name, result in results.items() if isinstance(result, VideoError)}
    assert all(reason and "\n" not in reason for reason in refused.values())
    assert not [reason for reason in refused.values() if "too slow" in reason or "crashes" in reason]
    for name in results.keys() - refused.keys():
        _check_kept(name, folder / name, results[name], made[name])
    assert len(refused) > len(tasks) / 2  # most damage is found
    print(f"{len(tasks)} damaged videos: {len(refused)} refused, {len(tasks) - len(refused)} kept", end=" ")


def _check_kept(name: str, path: Path, clip: Transcoded, whole: np.ndarray) -> None:
    """What was kept is what the file decodes to; where that is not what it was before the damage, a note says so.

    A codec without checksums hides small damage, and shows a lost packet only as a missing frame.
    """
    assert len(_stored_frames(clip)) == clip.num_frames, name
    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="rgb24", interpolation=scaling.EXACT_AREA) for frame in container.decode(video=0)
        ]
    assert clip.source.num_frames == len(frames), name
    before = whole[:, ::4, ::4].astype(int)
    distances = [np.abs(before - frame[::4, ::4]).mean(axis=(1, 2, 3)).min() for frame in frames]
    assert max(distances) < 8 or clip.source.notes, (name, max(distances))
    assert len(frames) >= 0.9 * len(whole) or any("length unknown" in note for note in clip.source.notes), name


@pytest.mark.parametrize(("suffix", "codec"), [
    (".mp4", "libx264"), (".mov", "libx264"), (".mkv", "libx264"), (".webm", "libvpx"), (".avi", "mpeg4"),
    (".wmv", "msmpeg4"), (".ts", "libx264"), (".mpg", "mpeg1video"),
])  # fmt: skip
def test_cut_videos_are_reported(tmp_path: Path, suffix: str, codec: str) -> None:
    """A third and two thirds of a file: refused, or its container says nothing of length and a note says that."""
    source = damaged_videos.encode(tmp_path / f"whole{suffix}", _textured(60), codec)
    assert inspect_video(source).num_frames == 60
    for share in (0.33, 0.66):
        cut = tmp_path / f"cut{suffix}"
        cut.write_bytes(source.read_bytes()[: int(share * source.stat().st_size)])
        try:
            said = "; ".join(inspect_video(cut).notes)
        except VideoError as error:
            said = str(error)
        reasons = ("truncated", "damaged", "not a video", *(["length unknown"] if suffix in (".ts", ".mpg") else []))
        assert said.startswith(reasons), said


def test_pauses_and_slow_rates_are_no_damage(tmp_path: Path) -> None:
    paused = [33 * k + (4000 if k > 15 else 0) for k in range(30)]
    slow = [1000 * k for k in range(4)]
    for name, times in (("pause.mp4", paused), ("slow.mp4", slow), ("slow.mkv", slow)):
        path = damaged_videos.encode(tmp_path / name, numbered_frames(range(len(times))), times=times)
        assert inspect_video(path).num_frames == len(times), name


def test_errors_of_coders_and_of_the_machine() -> None:
    for error, reason in ((MemoryError(), "MemoryError"), (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0")):
        with pytest.raises(VideoError, match=rf"^cannot be processed \({reason}\)$"), coder_errors():
            raise error
    with pytest.raises(OSError, match="too many"), coder_errors():
        raise OSError("too many open files")


@pytest.mark.parametrize("flow", [pytest.param("none", marks=pytest.mark.slow), "dis"])
def test_what_no_coder_takes_is_a_bad_video(tmp_path: Path, flow: str) -> None:
    """Pictures too wide for H.264 and too narrow for optical flow, and rates that no clock has."""
    shapes = {"wide": (2, 4, 17000), "narrow": (3, 4, 400), "dot": (3, 2, 2)}
    for name, shape in shapes.items():
        damaged_videos.encode(tmp_path / f"{name}.mkv", np.zeros((*shape, 3), np.uint8), "ffv1", "bgr0")
    hourly = [3_600_000 * k for k in range(5)]
    damaged_videos.encode(tmp_path / "hourly.mkv", numbered_frames(range(5)), times=hourly)
    clips = [SourceClip(path, 0, path.stem, "") for path in sorted(tmp_path.glob("*.mkv"))]
    limits = {"workers": 2, "time_limit": TIME_LIMIT, "advance": lambda: None}
    staged, rejected = staging.stage(clips, tmp_path / "staged", Encoding(flow=flow), **limits)
    assert "hourly" in staged and staged["hourly"].num_frames == 5
    assert rejected["wide"].startswith("cannot be processed (ExternalError")
    assert ("dot" in rejected) == (flow == "dis")
    assert any("rejected" in json.loads(path.read_bytes().split(b"\n")[0]) for path in (tmp_path / "staged").iterdir())
    again = staging.stage(clips, tmp_path / "staged", Encoding(flow=flow), **limits)
    assert again == (staged, rejected)


def _stored_frames(clip: Transcoded) -> np.ndarray:
    """uint8 [T, 64, W, 3]"""
    if "frames" in clip.parts:
        return decode.decode_jpegs(clip.parts["frames"], short_side=64)
    return decode.decode_frames(clip.parts["video"], short_side=64)


def _textured(count: int) -> np.ndarray:
    """Numbered frames with noise that drifts, so that there is much to damage."""
    noise = np.random.default_rng(0).integers(0, 40, (64, 96 + count, 3))
    drift = np.stack([noise[:, t : t + 96] for t in range(count)])
    return (numbered_frames(range(count)).astype(int) * 3 // 4 + drift).clip(0, 255).astype(np.uint8)


def test_a_decoder_that_permits_no_second_file_is_no_fault_of_rights(ffmpeg: str, tmp_path: Path) -> None:
    """Of Theora joined byte by byte, FFmpeg says that the operation is not permitted, as of a file without rights."""
    source = write_video(tmp_path / "a.mp4", numbered_frames(range(12)))
    one = tmp_path / "a.ogv"
    command = [ffmpeg, "-v", "error", "-i", str(source), "-c:v", "libtheora", str(one)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("this ffmpeg writes no Theora")
    with pytest.raises(VideoError, match="^damaged: breaks off after 12 frames"):
        inspect_video(join(tmp_path / "both.ogv", one, one))
