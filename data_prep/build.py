"""Turns videos into records: `lift-flax build SOURCE --out DIR`.

A build reads the splits, transcodes every clip once in parallel, and writes TFDS records, `folds.json` and
`prep_report.json`.  Every file appears by a rename, the report last.  A folder without a report is not finished, and
the same command continues it.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from lift_flax import command_line
from lift_flax.data_sets import DATA_SETS
from lift_flax.errors import UserError, file_system_message, run_cli
from lift_flax.files import only_writer, write_text
from lift_flax.video import optical_flow

from . import disk, out_folder, sources, staging
from .build_flags import parse_args
from .progress import counting
from .report import make_folds, make_report, print_report
from .sources.video_list import VideoList
from .staging import StagedClip
from .transcode import Encoding

ROOM = ("scenes", "room")  # is not among the settings: builds from before there was another set go on
_SHOWN_BAD_FILES = 3
_TOLERATED_SHARE = 0.01  # of bad videos, which are left out by default
_NO_GROUPS = (
    "note: nothing says which clips are of one scene or person: the test flatters where some of them are trained on "
    "and others tested on.  Name them with --group-regex (docs/data.md)"
)


def main(argv: list[str] | None = None) -> None:
    """Runs the command line.

    Raises:
      UserError: the videos, the lists, a flag or the output folder are unusable.
    """
    args = parse_args(argv)
    try:
        build_records(args)
    except OSError as error:
        message = file_system_message(error, args.out)
        if message is None:
            raise
        raise UserError(message) from error


def build_records(args: argparse.Namespace) -> None:
    """Builds the records that `args` describe, unless they exist.

    Raises:
      UserError: the videos, the lists or the output folder are unusable.
    """
    console = command_line.console(file=sys.stdout, soft_wrap=True)
    settings = _settings(args)
    old = out_folder.read_older(args.out, overwrite=args.overwrite)
    if old is not None and not args.overwrite and (args.out / old["records"]).is_dir():
        _refuse_other_settings(old["settings"], settings, args.out)
        readable = args.source != "night_figures" and "digest" in old and args.videos.exists()
        if readable and not _is_of(old["digest"], sources.read(args, old)):
            raise UserError(
                f"{args.out} was built from other clips, files or splits; --overwrite builds it again from these"
            )
        _remove_leftovers(args.out / ".staging")
        left_out = f" ({len(old['rejected'])} bad files left out)" if old["rejected"] else ""
        console.print(f"{args.out} is already built with these settings{left_out}; --overwrite builds it again")
        return
    _refuse_out_among_videos(args)
    if not args.overwrite:
        out_folder.refuse_foreign(args.out, old)
    started = time.monotonic()
    work = args.out / ".staging"
    videos = sources.read(args, old)
    digest = _digest(videos)
    with only_writer(work, "--out"):
        encoding = _encoding(args)
        console.print(disk.check_space(videos.clips, encoding, args.out, work / "clips"))
        staged, rejected = _transcode(videos, work / "clips", encoding, args, console)
        videos = videos.without(rejected)
        videos.check()
        with console.status("writing records"):
            records = _install_records(args, videos, staged, work, old)
        report = {
            "source": args.source,
            "records": str(records.relative_to(args.out)),
            "settings": settings,
            "digest": digest,
            **make_report(videos, staged, rejected),
            "seconds": round(time.monotonic() - started, 1),
        }
        write_text(args.out / "folds.json", json.dumps(make_folds(videos, staged), indent=2) + "\n")
        write_text(args.out / "prep_report.json", json.dumps(report, indent=2) + "\n")
        out_folder.remove_staging(work)
    print_report(report, videos, console)
    if args.source == "folder" and videos.classes and not any(clip.group for clip in videos.clips):
        console.print(_NO_GROUPS)
    next_one, does = ("train", "Train") if videos.classes else ("pretrain", "Pretrain")
    console.print(f"{len(videos.clips)} clips in {args.out} after {report['seconds']:.0f} s.  {does} with")
    console.print(f"  {command_line.command(next_one, *_train_flags(args, videos), f'--workdir=runs/{args.source}')}")


def _remove_leftovers(work: Path) -> None:
    """Removes the staging folder of a build that was killed at its very end; that of any other build stays."""
    if (work / out_folder.INSTALLING).exists():
        with only_writer(work, "--out"):
            out_folder.remove_staging(work)


def _refuse_out_among_videos(args: argparse.Namespace) -> None:
    if args.source != "night_figures" and args.out.resolve().is_relative_to(args.videos.resolve()):
        raise UserError(f"--out {args.out} lies in --videos {args.videos}: choose another folder for the records")


def _encoding(args: argparse.Namespace) -> Encoding:
    if args.flow != "none":
        try:
            optical_flow.flow_function(args.flow)  # reports a missing OpenCV before the work starts
        except UserError as error:
            raise UserError(f"{error}, or leave flow out with --no-flow") from error
    return Encoding(args.codec, args.size, args.max_frames, args.crf, args.flow)


def _train_flags(args: argparse.Namespace, videos: VideoList) -> list[str]:
    """The flags of a first training run on these records: on all folds, where they were asked for."""
    data_set = DATA_SETS[args.source]
    flow = args.flow != "none"
    config = "own" if args.source == "night_figures" and args.scenes == "street" else data_set.config
    finds_out = config == "own"  # by `auto`
    keys = "" if finds_out or flow == data_set.flow else f",luminous={'flow' if flow else 'gamma'}"
    folds = ["--folds=all"] if data_set.lists is None and len(videos.folds) > 1 else []
    return [f"--config={config}:tiny{keys}", f"--config.data.dir={args.out}", *folds]


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The flags that the records depend on, as JSON."""
    skipped = {"out", "workers", "on_bad", "time_limit", "overwrite"}
    settings = {key: value for key, value in vars(args).items() if key not in skipped}
    settings = {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in settings.items()}
    if settings.get("unlabelled"):
        splits = set(sources.OWN_SPLIT) - {"group_regex"}
        settings = {key: value for key, value in settings.items() if key not in splits}
    elif "test_share" in settings:
        settings.pop("unlabelled", None)
        default = sources.reader(args.source).TEST_SHARE
        settings |= {"test_share": args.test_share or default, "seed": args.seed or 0}
    if args.source == "night_figures":
        other = [key for key in sources.DRAWING if settings[key] is None]  # flags of the other scene set
        settings = {key: value for key, value in settings.items() if key not in other and (key, value) != ROOM}
        settings["version"] = sources.reader(args.source).VERSIONS[args.scenes]
    return settings | {"gop": Encoding.gop}


def _refuse_other_settings(old: dict[str, Any], new: dict[str, Any], out: Path) -> None:
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    if changed:
        what = ", ".join(f"{key} {old.get(key)} (now {new.get(key)})" for key in changed)
        raise UserError(f"{out} was built with {what}; choose another --out, or replace it with --overwrite")


def _digest(videos: VideoList, *, sizes: bool = True) -> str:
    """Digest of all ids, labels, groups, splits and sizes of files, to compare a later build with."""
    clips = [[c.id, c.label, c.group, *([_size(c.path)] if sizes else [])] for c in videos.clips]
    return hashlib.sha256(json.dumps([videos.classes, clips, videos.folds], sort_keys=True).encode()).hexdigest()


def _is_of(stated: str, videos: VideoList) -> bool:
    """Whether `stated`, the digest of an earlier build, is of these videos; older ones say nothing of sizes."""
    return stated in (_digest(videos), _digest(videos, sizes=False))


def _size(path: Path) -> int:
    """Bytes of a file; -1 if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _transcode(
    videos: VideoList, work: Path, encoding: Encoding, args: argparse.Namespace, console: Console
) -> tuple[dict[str, StagedClip], dict[str, str]]:
    """Stages every clip under a progress bar and prints the bad ones.

    Raises:
      UserError: more clips are bad than --on-bad tolerates.
    """
    with counting("transcoding", len(videos.clips), console) as advance:
        limits = {"workers": args.workers, "time_limit": args.time_limit}
        staged, rejected = staging.stage(videos.clips, work, encoding, **limits, advance=advance)
    bad = [(clip.path, rejected[clip.id]) for clip in videos.clips if clip.id in rejected]
    for path, reason in bad:
        console.print(f"rejected {path}: {reason}")
    tolerated = {"fail": 0, "skip": len(videos.clips), None: int(_TOLERATED_SHARE * len(videos.clips))}[args.on_bad]
    if len(bad) > tolerated:
        shown = "; ".join(f"{path}: {reason}" for path, reason in bad[:_SHOWN_BAD_FILES])
        more = "" if len(bad) <= _SHOWN_BAD_FILES else f"; and {len(bad) - _SHOWN_BAD_FILES} more above"
        raise UserError(
            f"{len(bad)} of {len(videos.clips)} videos cannot be used ({shown}{more}); "
            "fix them, or leave them out with --on-bad=skip (what is done is kept)"
        )
    return staged, rejected


def _install_records(
    args: argparse.Namespace, videos: VideoList, staged: dict[str, StagedClip], work: Path, old: dict[str, Any] | None
) -> Path:
    """Writes the records in the staging folder, then moves them to OUT/<source>/<version> in place of older ones.

    Raises:
      UserError: another folder is in their place.
    """
    from . import write_records  # imported late because worker processes import this file and need no TFDS

    shutil.rmtree(work / "records", ignore_errors=True)
    records = write_records.write_records(args.source, videos, staged, work / "records")
    target = args.out / args.source / write_records.VERSION
    mark = work / out_folder.INSTALLING  # beside the records of a build that was killed here
    if target.exists() and old is None and not mark.exists() and not args.overwrite:
        raise UserError(f"{target} is in the way; move it, choose another --out, or replace it with --overwrite")
    mark.touch()
    (args.out / "prep_report.json").unlink(missing_ok=True)  # the older build is no longer whole
    if old is not None:
        shutil.rmtree(args.out / old["records"], ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    records.rename(target)
    return target


if __name__ == "__main__":
    run_cli(main)
