"""Names the action in videos.

    lift-flax predict clip.mp4                                              # by the network that comes with lift_flax
    lift-flax predict --workdir=RUN clip.mp4 folder/ 'night/*.avi'
    lift-flax predict --workdir=RUN --json - < list_of_paths.txt
    lift-flax predict --workdir=RUN --window=5 --hop=1 a_long_night.mkv     # a timeline
    lift-flax predict --workdir=RUN --film=answer.mp4 clip.mp4
    lift-flax predict --workdir=RUN --csv=events.csv --embeddings=features.npz folder/
    lift-flax predict --workdir=RUN --fps=25 folder_of_pictures/
    ffmpeg -i rtsp://... -t 60 -c copy -f matroska - | lift-flax predict --workdir=RUN /dev/stdin
    lift-flax predict --workdir=RUN -- -3Babc.mp4                           # a name that begins with a hyphen

Takes any file that FFmpeg reads; of a folder, all files with the ending of a video, or if it has none, each folder of
pictures as a video.  A pipe is copied to a temporary file.  A video of up to --longest seconds is one clip, as in
evaluation.  A longer one is cut into windows, and its line names the events: class, mean probability, from, to.  A
video that cannot be read, or is damaged, has an error in its place; the others are answered, and the exit code is 2.
With --on-bad=warn a damaged video is answered, too, from what can be read of it, with a note.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

from lift_flax import command_line, compiling, errors
from lift_flax.errors import UserError, shown
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.named_videos import FPS, VIDEO, frame_rate, named_videos
from lift_flax.predict.output import embeddings, film, lines, table
from lift_flax.predict.predictor import ON_BAD, Predictor
from lift_flax.predict.reading import usual_windows
from lift_flax.runs.places import WORKDIR
from lift_flax.runs.trained import open_or_shipped
from lift_flax.video.clips import Windows
from lift_flax.video.scaling import FITS

_STDOUT = "-"


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    words = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(command_line.spell(words, lambda word: "--csv=-" if word == "--csv" else word))
    if args.top < 1 or args.batch_size < 1:
        raise UserError("--top and --batch-size must be 1 or more")
    videos = named_videos(args.videos)
    films = _check_files(args, videos)
    trained = open_or_shipped(args.workdir)
    windows = usual_windows(trained, args.longest, args.window, args.hop)
    compiling.keep_compiled_programs()
    options = {"network": args.network, "batch_size": args.batch_size, "fps": args.fps, "on_bad": args.on_bad}
    predictor = Predictor(trained, windows=windows, threshold=args.threshold, fit=args.fit, **options)
    bad = 0
    with contextlib.ExitStack() as files:
        takers = _takers(args, files)
        for number, answer in enumerate(predictor.each(videos), 1):
            for take in takers:
                take(answer)
            bad += bool(answer.error) or not _filmed(args, films, videos, number - 1, answer)
            if sys.stderr.isatty() and len(videos) > 1:
                print(f"{number} of {len(videos)}", end="\r", file=sys.stderr, flush=True)
    if bad:
        raise UserError(f"{bad} of {len(videos)} videos could not be used: see the reason beside each")


def _check_files(args: argparse.Namespace, videos: list[Path | str]) -> list[Path]:
    """The films to make.  Raises UserError where what is to be written cannot be."""
    if args.embeddings:
        embeddings.check(args.embeddings, overwrite=args.overwrite)
    if args.csv == _STDOUT and args.json:
        raise UserError("--csv and --json both print: write one of them to a file, as --csv=FILE")
    if args.csv not in (None, _STDOUT):
        table.check(Path(args.csv), overwrite=args.overwrite)
    films = film.targets(args.film, videos, overwrite=args.overwrite) if args.film else []
    outputs = [Path(args.csv)] if args.csv not in (None, _STDOUT) else []
    outputs += [args.embeddings] if args.embeddings else []
    taken = {Path(video).resolve() for video in videos}
    for output in (*outputs, *films):
        if output.resolve() in taken:
            raise UserError(f"{output} is a video that is read, or named twice as a file to write: choose another name")
        taken.add(output.resolve())
    return films


def _takers(args: argparse.Namespace, files: contextlib.ExitStack) -> list[table.TakeAnswer]:
    """What is done with each answer: it is printed, and goes into the files that were asked for."""

    def show(answer: VideoAnswer) -> None:
        print(json.dumps(lines.as_json(answer)) if args.json else lines.as_text(answer, args.top), flush=True)

    takers = [table.printed() if args.csv == _STDOUT else show]
    if args.embeddings:
        takers.append(files.enter_context(embeddings.written(args.embeddings)))
    if args.csv not in (None, _STDOUT):  # entered last, so it is whole before the embeddings are written
        takers.append(files.enter_context(table.written(Path(args.csv))))
    return takers


def _filmed(
    args: argparse.Namespace, films: list[Path], videos: list[Path | str], number: int, answer: VideoAnswer
) -> bool:
    """Makes the film of a video, if one is asked for; False where it fails, with a line that says why."""
    if not films:
        return True

    def tell(share: float) -> None:
        if sys.stderr.isatty():
            print(f"film of {shown(answer.video)}: {share:.0%}", end="\r", file=sys.stderr, flush=True)

    try:
        film.write(films[number], videos[number], answer, fps=args.fps, tolerant=args.on_bad == "warn", tell=tell)
    except UserError as error:
        command_line.say(f"error: {error}")
        return False
    command_line.say(f"film: {shown(films[number])}")
    return True


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, "lift-flax predict")
    parser.add_argument("--workdir", type=Path, help=f"{WORKDIR} (default)")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help=VIDEO)
    parser.add_argument(
        "--network", choices=("student", "teacher"), default="student", help="network that answers (default student)"
    )
    parser.add_argument("--top", type=int, default=3, help="classes shown (default 3; --json shows all)")
    for flag, meaning in (
        ("--longest", f"up to which a video is one clip (default {Windows.longest:g})"),
        ("--window", "of each window of a longer video (default: those of the run's training clips)"),
        ("--hop", "from the start of one window to the next (default: half a window)"),
    ):
        parser.add_argument(flag, type=float, metavar="SECONDS", help=f"seconds {meaning}")
    parser.add_argument("--fps", type=frame_rate, help=FPS)
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="probability below which an answer is unsure (default: the run's)"
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="crop",
        help="how frames become squares: their middle (default), all of them between black borders, or squeezed",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="clips computed together (default 8)")
    parser.add_argument(
        "--on-bad",
        choices=ON_BAD,
        default="error",
        help="what becomes of a video that can be read but is damaged or cut off: an error (default), or an answer "
        "with a note",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each video, on a line")
    parser.add_argument("--csv", metavar="FILE", help="write a row for each event as CSV; without FILE, print it")
    parser.add_argument("--film", type=Path, metavar="OUT.mp4", help="film the answer; a folder for several videos")
    parser.add_argument("--embeddings", type=Path, metavar="FILE.npz", help="write the features of each video, too")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    return parser


if __name__ == "__main__":
    errors.run_cli(main)
