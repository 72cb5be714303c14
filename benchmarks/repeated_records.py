"""Writes records of any number of clips quickly: ten clips are drawn and encoded, then stored over and over.

    python benchmarks/repeated_records.py --out=DIR --clips 10 1000      # DIR/10 and DIR/1000

Records, index and report come from the code of data_prep.build and are what it writes, but that a clip's bytes stand
there under many names.  Prints the bytes of each as JSON; says on stderr what it does and how much room that takes.
"""

import json
import shutil
import sys
from pathlib import Path

from rich.console import Console

from data_prep import staging, write_records
from data_prep.night_figures.write import CLASSES, plan_clips, write_dataset
from data_prep.progress import counting
from data_prep.report import make_folds, make_report
from data_prep.sources.video_list import SourceClip, VideoList
from data_prep.staging import StagedClip
from data_prep.transcode import Encoding
from lift_flax import command_line
from lift_flax.errors import UserError, run_cli
from lift_flax.files import write_text

SOURCE = "night_figures"
DRAWN = 10  # clips, one of each class
MARGIN = 1.1  # of the room: names, indices and padding beside the clips


def encode_clips(work: Path, console: Console) -> tuple[VideoList, dict[str, StagedClip]]:
    """One drawn clip of each of ten classes, encoded as records hold it."""
    console.print(f"drawing {len(CLASSES)} clips")
    write_dataset(work / "videos", seed=0, train_per_class=1, test_per_class=0)
    plans = plan_clips(0, 1, 0)[:DRAWN]
    clips = [SourceClip(work / "videos" / "clips" / f"{p.name}.mp4", p.label, p.name, str(p.group)) for p in plans]
    videos = VideoList(list(CLASSES[:DRAWN]), clips, {})
    with counting("transcoding", len(videos.clips), console) as advance:
        staged, rejected = staging.stage(
            videos.clips, work / "staged", Encoding(), workers=1, time_limit=60, advance=advance
        )
    assert not rejected, rejected
    return videos, staged


def repeat(videos: VideoList, staged: dict[str, StagedClip], count: int) -> tuple[VideoList, dict[str, StagedClip]]:
    """`count` clips, those of `videos` in turn, each with an id of its own; all are trained on."""
    sources = [videos.clips[i % len(videos.clips)] for i in range(count)]
    clips = [SourceClip(clip.path, clip.label, f"{clip.id}_{i:06d}", clip.group) for i, clip in enumerate(sources)]
    folds = {"1": {"train": [clip.id for clip in clips], "test": []}}
    held = {clip.id: staged[source.id] for clip, source in zip(clips, sources, strict=True)}
    return VideoList(videos.classes, clips, folds), held


def write(out: Path, videos: VideoList, staged: dict[str, StagedClip], work: Path) -> int:
    """Writes the folder of records as a build leaves it; its bytes."""
    records = out / SOURCE / write_records.VERSION
    records.parent.mkdir(parents=True)
    write_records.write_records(SOURCE, videos, staged, work / out.name).rename(records)
    encoding = Encoding()
    settings = {"codec": encoding.codec, "size": encoding.short_side, "max_frames": encoding.max_frames}
    report = {"source": SOURCE, "records": str(records.relative_to(out)), "settings": {**settings, "flow": "none"}}
    report |= make_report(videos, staged, {})
    write_text(out / "folds.json", json.dumps(make_folds(videos, staged), indent=2) + "\n")
    write_text(out / "prep_report.json", json.dumps(report, indent=2) + "\n")
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def check_room(staged: dict[str, StagedClip], clips: list[int], out: Path, console: Console) -> None:
    """Prints the size of the records.  Raises UserError where there is less room."""
    each = sum(clip.path.stat().st_size for clip in staged.values()) / len(staged)
    needed, free = MARGIN * each * sum(clips) / 2**20, shutil.disk_usage(out).free / 2**20
    summary = f"{sum(clips):,} clips of {each / 1024:.0f} KiB, {needed:,.0f} MiB of {free:,.0f} free in {out}"
    if needed > free:
        raise UserError(f"too little room for {summary}; set TMPDIR or --out to a larger disk, or write fewer clips")
    console.print(f"writing {summary}")


def main() -> None:
    """Writes the records and prints the bytes of each."""
    parser = command_line.parser(__doc__, "python -m benchmarks.repeated_records")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets a folder for each number of clips")
    parser.add_argument("--clips", type=int, nargs="+", required=True)
    args = parser.parse_args()
    if min(args.clips) < DRAWN:
        raise UserError(f"--clips={min(args.clips)} leaves classes without a clip: give numbers from {DRAWN} on")
    for count in args.clips:
        if (args.out / str(count)).exists():
            raise UserError(f"{args.out / str(count)} is in the way: remove it, or give another --out")
    console = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    work = args.out / "drawn"
    videos, staged = encode_clips(work, console)
    check_room(staged, args.clips, args.out, console)
    sizes = {}
    with counting("records written", len(args.clips), console) as advance:
        for count in args.clips:
            sizes[count] = write(args.out / str(count), *repeat(videos, staged, count), work)
            advance()
    shutil.rmtree(work)
    print(json.dumps(sizes))


if __name__ == "__main__":
    run_cli(main)
