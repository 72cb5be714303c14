"""Clips per second and core of reading video: this project's records against the usual readers, on the same videos.

    python benchmarks/input_pipeline.py --videos DIR             # any folder with at least three videos
    pip install decord torchcodec opencv-python-headless         # the readers to compare with; none is needed

What is asked of every reader is one clip of training: one frame drawn at random from each of 30 equal segments of the
whole video, as RGB, short side 224, centre crop, uint8 [30,224,224,3].  On one thread each, clip by clip in turn, all
in one process; the least CPU time of several rounds counts, so what else the machine does hardly matters.  First every
reader's pixels are compared with those of plain PyAV (every frame decoded and converted, Pillow resizes), so that no
one is quick by returning other frames.  (FFmpeg's quick conversions to RGB cut off fractions, one or two grey levels
according to the size, so readers differ by that much.) Readers that decode the originals get the number of frames,
which the records hold.  At the end the loader itself runs, batches of 8 from the same records; its figure by the clock
is the one that needs a machine with nothing else to do, so the load is printed.

The work per clip, printed for the videos at hand: originals are decoded at their own size up to the last wanted frame;
records are at most 64 frames of short side at most 256, without B-frames, CABAC or deblocking.  For 40 clips of ARID
that is 70.6 frames, 5.42 million pixels and 814 KiB against 60.7 frames, 4.66 million pixels and 160 KiB: there the
cheaper coding does more than the fewer pixels.  torchcodec needs FFmpeg's shared libraries (`apt-get install ffmpeg`).
"""

import argparse
import contextlib
import csv
import dataclasses
import importlib.metadata
import math
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from video_readers import REFERENCE, Read, Video, ours, plain_pyav, usable_readers

from data_prep.sources import video_list
from lift_flax import command_line, presets
from lift_flax.config_checks import from_dict
from lift_flax.data.batches import train_batches
from lift_flax.data.records import Records, open_records
from lift_flax.errors import UserError, run_cli
from lift_flax.video import sampling, scaling
from lift_flax.video.inspection import inspect_video

BATCH, WARM_UP = 8, 4  # clips, batches
SAME = 4.0  # mean absolute difference in grey levels up to which two readers' clips are the same but for the resizing
PACKAGES = (
    "av", "numpy", "grain", "decord", "torchcodec", "torch", "opencv-python-headless", "opencv-contrib-python-headless",
    "opencv-python", "pillow",
)  # fmt: skip


@dataclasses.dataclass
class Result:
    """One line of the table: CPU and wall seconds of each clip, and grey levels between it and plain PyAV."""

    method: str
    reads: str
    cpu: np.ndarray
    wall: np.ndarray
    difference: np.ndarray


def build_records(videos: Path, limit: int, work: Path) -> tuple[Records, dict[str, Path]]:
    """Default records of `limit` videos, evenly chosen, below `work`; and the path of each by its id."""
    found = video_list.find_videos(videos)
    if min(limit, len(found)) < 3:
        raise UserError(f"{videos} holds {len(found)} videos and --limit is {limit}: at least three are needed")
    found = [found[i] for i in sampling.eval_indices(len(found), min(limit, len(found)))]
    work.mkdir(parents=True, exist_ok=True)
    with (work / "clips.csv").open("w", newline="") as file:  # classes and splits do not matter here
        rows = csv.writer(file)
        rows.writerow(("path", "label", "split"))
        for number, path in enumerate(found):
            rows.writerow((path.relative_to(videos), "ab"[number % 2], "test" if number == 2 else "train"))
    flags = ["--videos", videos, "--csv", work / "clips.csv", "--out", work / "records", "--on-bad", "skip"]
    done = subprocess.run([sys.executable, "-m", "data_prep.build", "folder", *map(str, flags)])
    if done.returncode:
        raise UserError(f"the records of {videos} cannot be built, see above")
    paths = {video_list.clip_id(path, videos): path for path in found}
    return open_records(str(work / "records")), paths


@dataclasses.dataclass(frozen=True)
class Method:
    """A reader, and where it gets the video of clip i from (fetching counts as reading)."""

    name: str
    reads: str
    fetch: Callable[[int], Video]
    read: Read

    def clip(self, i: int, turn: int, args: argparse.Namespace) -> np.ndarray:
        """uint8 [T,size,size,3]; the same frames for every method that reads the same source."""
        video = self.fetch(i)
        indices = sampling.Timing.even(video.num_frames, 30.0).drawn(args.frames, np.random.default_rng([i, turn]))
        return self.read(video, indices, args.size)


def make_methods(
    records: Records, paths: dict[str, Path], readers: dict[str, Read], size: int
) -> tuple[list[Method], list[Video], list[Video]]:
    """The methods, and the videos they read: originals, and as stored in the records."""
    source = tfds.builder_from_directory(records.parts[0].folder).as_data_source("all")
    positions = [(id, entry.position) for id, entry in records.index.items()]
    originals = [_video(str(paths[id]), size) for id, _ in positions]
    stored = [_video(source[position]["video"], size) for _, position in positions]

    def fetch(i: int) -> Video:
        record = source[positions[i][1]]
        return dataclasses.replace(stored[i], source=record["video"], num_frames=int(record["num_frames"]))

    methods = [Method("this project", "records", fetch, ours)]
    methods += [Method(name, "originals", originals.__getitem__, read) for name, read in readers.items()]
    return methods, originals, stored


def _video(source: bytes | str, size: int) -> Video:
    info = inspect_video(source)
    scaled = scaling.scaled_size(info.width, info.height, size)
    return Video(source, info.num_frames, scaled, (info.width, info.height))


def compare_pixels(
    methods: list[Method], originals: list[Video], args: argparse.Namespace, console: Console
) -> tuple[list[int], np.ndarray]:
    """Clips that every method reads, and the mean absolute difference to plain PyAV [methods, clips] in grey levels."""
    kept, differences = [], []
    for i in track(range(len(originals)), "comparing pixels", console=console):
        references, row = {}, []
        try:
            for method in methods:
                if method.reads not in references:
                    references[method.reads] = dataclasses.replace(method, read=plain_pyav).clip(i, 0, args)
                difference = method.clip(i, 0, args).astype(np.int16) - references[method.reads]
                row.append(np.abs(difference).mean())
        except Exception as error:  # whatever a foreign reader raises
            reason = (str(error).splitlines() or [""])[0]
            console.print(f"left out: {originals[i].source}: {method.name}: {type(error).__name__}: {reason}")
            continue
        kept.append(i)
        differences.append(row)
    if not kept:
        raise UserError(f"{args.videos} holds no video that every reader can read: see above")
    return kept, np.array(differences).T  # [clips, methods] -> [methods, clips]


def time_methods(methods: list[Method], kept: list[int], args: argparse.Namespace, console: Console) -> np.ndarray:
    """Least CPU and wall seconds over the rounds, [methods, clips, 2]."""
    least = np.full((len(methods), len(kept), 2), math.inf)
    steps = [(turn, column, i) for turn in range(args.rounds) for column, i in enumerate(kept)]
    # Its own thread would count as CPU time.
    for turn, column, i in track(steps, "reading in turn", console=console, auto_refresh=False):
        for row, method in enumerate(methods):
            start = time.process_time(), time.perf_counter()
            method.clip(i, turn, args)
            least[row, column] = np.minimum(
                least[row, column], (time.process_time() - start[0], time.perf_counter() - start[1])
            )
    return least


def time_loader(records: Records, workers: int, args: argparse.Namespace) -> tuple[float, float]:
    """CPU and wall seconds per clip of the loader that training uses."""
    values = presets.get_config("paper").unlock()
    values.update_from_flattened_dict(
        {
            "data.dir": str(records.dir),
            "data.num_frames": args.frames,
            "data.size": args.size,
            "data.workers": workers,
            "train.batch_size": BATCH,
            "model.pvit.unfreeze": "all",  # asks for no weights; nothing to do with loading
        }
    )
    config = from_dict(values.to_dict())
    batches = train_batches(records, config, list(records.index), seed=0, first_step=0)
    with contextlib.closing(batches):
        for _ in range(WARM_UP):
            next(batches)
        start = cpu_seconds(), time.perf_counter()
        for _ in range(args.batches):
            next(batches)
        count = args.batches * BATCH
        return (cpu_seconds() - start[0]) / count, (time.perf_counter() - start[1]) / count


def cpu_seconds() -> float:
    """CPU time of this process and its loader processes."""
    clocks = (~child.pid << 3 | 2 for child in multiprocessing.active_children())  # Linux: CPU clock of a process
    return time.process_time() + sum(map(time.clock_gettime, clocks))


def print_work(name: str, videos: list[Video], console: Console) -> None:
    """Bytes, frames and pixels of the mean clip."""
    sizes = [len(v.source) if isinstance(v.source, bytes) else os.path.getsize(v.source) for v in videos]
    pixels = [v.num_frames * math.prod(v.native) for v in videos]
    frames = np.mean([v.num_frames for v in videos])
    mean = f"{np.mean(sizes) / 1024:.0f} KiB, {frames:.1f} frames, {np.mean(pixels) / 1e6:.2f} million pixels"
    console.print(f"{name}: {mean} a clip")


def print_results(results: list[Result], console: Console) -> None:
    """The table."""
    base = next((r for r in results if r.method == "decord"), next(r for r in results if r.method == REFERENCE))
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("reads", no_wrap=True)
    titles = ("CPU ms\na clip", "wall ms\na clip", "clips/s\na core", f"times\n{base.method}", "grey off,\nworst")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for r in results:
        times = f"{1e3 * r.cpu.mean():.1f}", f"{1e3 * r.wall.mean():.1f}", f"{1 / r.cpu.mean():.1f}"
        off = f"{r.difference.mean():.2f}, {r.difference.max():.2f}"
        table.add_row(r.method, r.reads, *times, f"{base.cpu.sum() / r.cpu.sum():.2f}", off)
    console.print(table)
    console.print(
        f"grey off: mean absolute difference to {REFERENCE} on the same source, of all clips and of the worst"
    )
    for r in results:
        if r.difference.max() > SAME:
            console.print(f"{r.method} on {r.reads} DIFFERS by more than resizing does: other frames or colours")


def machine() -> str:
    """CPU, cores, processes that were running in the last minute, and versions, in two lines."""
    cpu = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    versions = []
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    cores = f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"
    return f"{cpu}, {cores}, Python {platform.python_version()}\n{', '.join(versions)}"


def main(argv: list[str] | None = None) -> tuple[list[Result], dict[int, tuple[float, float]]]:
    """Prints all; returns the lines of the table, and CPU and wall seconds per clip of the loader by its workers."""
    parser = command_line.parser(__doc__, "python -m benchmarks.input_pipeline")
    parser.add_argument("--videos", type=Path, required=True, help="folder of videos, searched to its depths")
    parser.add_argument("--limit", type=int, default=40, help="videos at most, chosen evenly")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--size", type=int, default=224, help="side of a clip in pixels, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=32, help="of the loader, timed after the first four")
    parser.add_argument("--work", type=Path, help="folder that keeps the records for the next time")
    args = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    about = machine()
    with tempfile.TemporaryDirectory() if args.work is None else contextlib.nullcontext(args.work) as work:
        records, paths = build_records(args.videos, args.limit, Path(work))
        methods, originals, stored = make_methods(records, paths, usable_readers(console), args.size)
        kept, differences = compare_pixels(methods, originals, args, console)
        least = time_methods(methods, kept, args, console)
        results = [
            Result(method.name, method.reads, least[row, :, 0], least[row, :, 1], differences[row])
            for row, method in enumerate(methods)
        ]
        loader = {workers: time_loader(records, workers, args) for workers in (0, 2)}
    console.print(about)
    print_work("originals", [originals[i] for i in kept], console)
    print_work("records", [stored[i] for i in kept], console)
    console.print(
        f"{len(kept)} clips of {args.frames} frames of {args.size}x{args.size}, least of {args.rounds} rounds"
    )
    print_results(results, console)
    cores = len(os.sched_getaffinity(0))
    for workers, (cpu, wall) in loader.items():
        name = f"{workers} workers" if workers else "threads"
        clock = f"{1 / wall:.1f} clips/s by the clock, {1 / wall / cores:.1f} a core"
        console.print(f"loader, {name}: {clock}; {1e3 * cpu:.1f} ms of CPU a clip, {1 / cpu:.1f} clips/s a core")
    return results, loader


if __name__ == "__main__":
    run_cli(main)
