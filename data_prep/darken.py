"""Films videos again in the dark: `lift-flax darken --videos DIR --out DARK`.

The low-light camera photographs every frame (lift_flax/video/camera.py), with as little light as gives a video the mean
luma that was asked for, and the noise of a sensor.  The result is a folder of the same layout, for `lift-flax build`:
records of it and of the originals are twins, the same motions in two lights.
"""

import argparse
import os
import sys
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Int, UInt8
from rich.console import Console

from lift_flax import command_line
from lift_flax.errors import UserError, run_cli, shown
from lift_flax.files import only_writer, replacing, write_text
from lift_flax.video import decode, encode, scaling
from lift_flax.video.camera import Camera, exposure_for, re_expose, to_linear
from lift_flax.video.guarded import pool
from lift_flax.video.inspection import coder_errors, inspect_video
from lift_flax.video.paths import videos_below

from .build_flags import at_least
from .progress import counting

FULL_WELL, READ_NOISE = 8000.0, 3.0  # electrons, of a small sensor
_CRF = 12  # keeps dark detail
_SAMPLED = 16  # frames that decide how much light there is
_TIME_LIMIT = 600  # seconds for one video
_NOTE = "darkened.txt"


def main(argv: list[str] | None = None) -> None:
    """The command line.

    Raises:
      UserError: the folders are unusable, or a video cannot be read.
    """
    parser = command_line.parser("Films videos again in the dark.", "lift-flax darken")
    parser.add_argument("--videos", type=Path, required=True, help="folder of videos, in any layout")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets dark videos of the same names")
    parser.add_argument(
        "--luma", type=_luma, default=17.0, help="mean luma of each video, 1 to 255 (default 17, as in ARID)"
    )
    parser.add_argument("--workers", type=at_least(1), default=len(os.sched_getaffinity(0)), help="processes")
    args = parser.parse_args(argv)
    darken(args.videos, args.out, args.luma, args.workers)


def darken(videos: Path, out: Path, luma: float, workers: int) -> None:
    """Films all videos below a folder again; those that are there already are kept, so a stopped call can be repeated.

    Args:
      videos: a folder of videos.
      out: gets an MP4 for each, at the same place below it.
      luma: mean of each dark video, 0 to 255; one that is darker by itself keeps its light and gets the noise.
      workers: processes.

    Raises:
      UserError: the folders are unusable, or a video cannot be read.
    """
    if not videos.is_dir():
        raise UserError(f"--videos {videos} is not a folder: give one that holds videos")
    if out.resolve().is_relative_to(videos.resolve()):
        raise UserError(f"--out {out} lies in --videos {videos}: choose another folder for the dark videos")
    names: dict[Path, Path] = {}
    for path in videos_below(videos, _unreadable)[0]:
        name = path.relative_to(videos).with_suffix(".mp4")
        if name in names:
            raise UserError(f"{path} and {names[name]} would both become {name}: rename one of them")
        names[name] = path
    if not names:
        raise UserError(f"--videos {videos} holds no videos: give a folder that does")
    with only_writer(out, "--out"):
        _settle(out, luma, names)
        tasks = {str(path): (path, out, name, luma) for name, path in names.items() if not (out / name).exists()}
        with counting("darkening videos", len(tasks), Console(file=sys.stdout)) as advance:
            for name, result in pool.run_each(_darken_video, tasks, workers=workers, time_limit=_TIME_LIMIT):
                if isinstance(result, decode.VideoError):
                    raise UserError(f"{name} cannot be filmed again ({result}): move it away and repeat the command")
                advance()
    print(f"{len(names)} videos in {out}, of mean luma {luma:g} or less")


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): make it readable, or move it away") from error


def _luma(text: str) -> float:
    try:
        if 1 <= float(text) <= 255:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a mean luma between 1 and 255")


def _settle(out: Path, luma: float, names: dict[Path, Path]) -> None:
    """Refuses a folder of other videos, or of another light; notes the light, and each original with its bytes."""
    note, light = out / _NOTE, f"luma {luma:g}, full well {FULL_WELL:g}, read noise {READ_NOISE:g}"
    if not note.exists() and any(path.name != "lock" for path in out.iterdir()):
        raise UserError(f"--out {out} holds other files: choose an empty or a new folder")
    found, *lines = note.read_text(errors="replace").splitlines() if note.exists() else [light]
    if found != light:
        raise UserError(f"--out {out} was darkened with {found}: choose another folder")
    originals = {f"{path.stat().st_size} {shown(name.as_posix())}": name for name, path in names.items()}
    of_these = {originals[line] for line in lines if line in originals}
    for path in videos_below(out, _unreadable)[0]:
        if (name := path.relative_to(out)) not in of_these:
            of = f"was filmed from another video than {names[name]}" if name in names else "is of none of these videos"
            raise UserError(f"{path} {of}: move it away, or choose another --out")
    write_text(note, "".join(f"{line}\n" for line in [light, *originals]))


def _darken_video(source: Path, out: Path, name: Path, luma: float) -> None:
    info, target = inspect_video(source), out / name
    if min(info.width, info.height) < 2:
        raise decode.VideoError(f"it has {info.width}x{info.height} pixels")
    chosen = np.unique(np.linspace(0, info.num_frames - 1, _SAMPLED).astype(int))
    with coder_errors():
        exposure = min(exposure_for(to_linear(decode.decode_frames(source, chosen)[:, 1::3, 1::3]), luma), 1.0)
        camera = Camera(exposure, full_well=FULL_WELL, read_noise=READ_NOISE)
        rng = np.random.default_rng(zlib.crc32(name.as_posix().encode()))
        fps = Fraction(info.fps).limit_denominator(1001)
        times = np.bincount(info.timing.shown(np.arange(info.num_frames) + 0.5), minlength=info.num_frames)
        frames = (
            av.VideoFrame.from_ndarray(np.ascontiguousarray(re_expose(rgb[None], camera, rng)[0]), format="rgb24")
            for rgb in _rgb(source, times)
        )
        video = encode.h264(frames, fps=fps, crf=_CRF, preset="veryfast")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        part.write_bytes(video)


def _rgb(source: Path, times: Int[np.ndarray, "T"]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a video one by one, of even sides, each as often as `times` says: one after another they last
    equally long, which frames of a video of variable rate do not."""
    scaler, size = VideoReformatter(), None
    for index, frame in decode.iter_frames(source):
        size = size or scaling.scaled_size(frame.width, frame.height, min(frame.width, frame.height), multiple=2)
        for _ in range(times[index]):
            yield scaling.rgb(frame, size, scaler)


if __name__ == "__main__":
    run_cli(main)
