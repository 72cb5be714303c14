"""What do these videos show?

    python -m lift_flax.predict --workdir=RUN clip.mp4 folder/ 'night/*.avi'
    python -m lift_flax.predict --workdir=RUN --json - < list_of_paths.txt
    python -m lift_flax.predict --workdir=RUN --window=5 --hop=1 a_long_night.mkv     # a timeline

Any file that FFmpeg reads is taken; of a folder all files that are named like videos.  Videos up to --longest seconds
are one clip, as in evaluation; longer ones are cut into windows, and the whole gets their mean probability.
A video that cannot be read has an error in its place; the others are answered all the same, and the exit code is 2.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from lift_flax import command_line, errors
from lift_flax.errors import UserError
from lift_flax.predict import predictor
from lift_flax.predict.answers import Moment, Prediction
from lift_flax.video.clips import Windows
from lift_flax.video.paths import named_videos


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    if args.top < 1 or args.batch_size < 1:
        raise UserError("--top and --batch_size must be 1 or more")
    videos = named_videos(args.videos)
    windows = Windows(args.longest, args.window, args.hop)
    answer = predictor.load(args.workdir, network=args.network, batch_size=args.batch_size, windows=windows)
    bad = 0
    for number, found in enumerate(answer.each(videos), 1):
        bad += bool(found.error)
        print(json.dumps(as_json(found)) if args.json else as_text(found, args.top), flush=True)
        if sys.stderr.isatty() and len(videos) > 1:
            print(f"{number} of {len(videos)}", end="\r", file=sys.stderr, flush=True)
    if bad:
        raise UserError(f"{bad} of {len(videos)} videos could not be used, as said beside each")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, "lift-flax predict")
    parser.add_argument("--workdir", type=Path, required=True, help="of a trained run")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="file, folder, pattern, or - for paths on stdin")
    parser.add_argument(
        "--network", choices=("student", "teacher"), default="student", help="which network answers (default student)"
    )
    parser.add_argument("--top", type=int, default=3, help="classes shown (default 3; --json has all)")
    usual = Windows()
    for flag, value, meaning in (
        ("--longest", usual.longest, "up to which a video is one clip"),
        ("--window", usual.length, "of a window of a longer one"),
        ("--hop", usual.hop, "from one window to the next"),
    ):
        parser.add_argument(flag, type=float, default=value, help=f"seconds {meaning} (default {value:g})")
    parser.add_argument("--batch_size", type=int, default=8, help="clips at a time (default 8)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def as_json(found: Prediction) -> dict:
    """What --json prints of a video."""
    if found.error:
        return {"video": found.video, "error": found.error}
    moments = {"timeline": found.timeline, "segments": found.segments()} if len(found.timeline) > 1 else {}
    return {
        "video": found.video,
        "label": found.label,
        "probability": round(found.probability, 6),
        "probabilities": {
            name: round(float(share), 6) for name, share in zip(found.classes, found.probabilities, strict=True)
        },
        **{name: [_moment(moment) for moment in listed] for name, listed in moments.items()},
        "notes": list(found.notes),
        "decode_ms": round(found.decode_ms, 1),
        "model_ms": round(found.model_ms, 1),
    }


def _moment(moment: Moment) -> dict:
    times = {"start": round(moment.start, 3), "end": round(moment.end, 3)}
    return {**times, "label": moment.label, "probability": round(moment.probability, 6)}


def as_text(found: Prediction, top: int) -> str:
    """The same for people, in a line, and a line for each part of a long video."""
    if found.error:
        return f"{found.video}: error: {found.error}"
    best = np.argsort(-found.probabilities, kind="stable")[:top]
    shares = ", ".join(f"{found.classes[i]} {100 * found.probabilities[i]:.1f} %" for i in best)
    clips = f"{len(found.timeline)} clips, each " if len(found.timeline) > 1 else ""
    lines = [f"{found.video}: {shares}   ({clips}{found.decode_ms:.0f} ms to read, {found.model_ms:.0f} ms to compute)"]
    if len(found.timeline) > 1:
        for part in found.segments():
            lines.append(f"  {_clock(part.start)} to {_clock(part.end)}  {part.label} {100 * part.probability:.1f} %")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


if __name__ == "__main__":
    errors.run_cli(main)
