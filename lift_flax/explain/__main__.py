"""Shows which frames and regions of a video drove the prediction of a trained LIFT-Net.

    lift-flax explain --workdir=RUN VIDEO... --out=DIR
    lift-flax explain --workdir=RUN VIDEO --out=DIR --label=Wave    # another class than the predicted one

For each video DIR/NAME/ holds explain.mp4 and explain.gif (frame, attention, activation side by side), sheet.png (the
same of eight frames), spectrum.png (before and after each Fourier Enhancement) and explain.json.  docs/explain.md says
what each picture means, and what it does not.
"""

import argparse
import sys
from pathlib import Path

from lift_flax import command_line, compiling, errors
from lift_flax.errors import UserError
from lift_flax.explain.explainer import Explainer
from lift_flax.explain.files import answer_text, check_folder, write_files
from lift_flax.predict.named_videos import FPS, VIDEO, distinct_names, frame_rate, named_videos
from lift_flax.predict.reading import preparation_of, read_whole
from lift_flax.runs.places import WORKDIR
from lift_flax.runs.trained import TrainedRun, open_or_shipped


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(argv)
    videos = named_videos(args.videos)
    folders = [args.out / name for name in distinct_names(videos)]
    for folder in folders:
        check_folder(folder, overwrite=args.overwrite)
    compiling.keep_compiled_programs()
    trained, bad = open_or_shipped(args.workdir), 0
    label, explainer, preparation = _label(args.label, trained), Explainer(trained), preparation_of(trained)
    for video, folder in zip(videos, folders, strict=True):
        try:
            clip = read_whole(video, preparation, args.fps)
            explanation = explainer(clip.parts, label)
            write_files(explanation, trained.classes, folder, name=Path(video).name, seconds=clip.end - clip.start)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            bad += 1
            continue
        print(f"{folder}: {answer_text(explanation, trained.classes)}", flush=True)
    if bad:
        raise UserError(f"{bad} of {len(folders)} videos could not be explained: see the lines above")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, "lift-flax explain")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help=VIDEO)
    parser.add_argument("--workdir", type=Path, help=f"{WORKDIR} (default)")
    parser.add_argument("--out", type=Path, required=True, help="folder; each video gets a folder of its own in it")
    parser.add_argument("--label", metavar="NAME", help="class to explain (default: the predicted one)")
    parser.add_argument("--fps", type=frame_rate, help=FPS)
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier explanation")
    return parser


def _label(name: str | None, trained: TrainedRun) -> int | None:
    if name is None:
        return None
    label = trained.label_of(name)
    if label is None:
        raise UserError(f"--label={name} is unknown to the run: choose one of {', '.join(trained.classes)}")
    return label


if __name__ == "__main__":
    errors.run_cli(main)
