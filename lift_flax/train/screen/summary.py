"""What a finished run prints: its accuracy, whether it has fitted its training clips, and the next commands."""

import shutil
from pathlib import Path

from rich.console import Console

from lift_flax import command_line
from lift_flax.command_line import command, percent
from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.evaluate.tables import agreed, show_parts
from lift_flax.files import replacing

_EPOCHS = {"teacher": "teacher_epochs", "student": "student_epochs"}
_SAMPLES = 2  # test videos that are copied to the workdir


def show_accuracy(results: dict, console: Console | None = None) -> None:
    """Prints the test accuracy of both networks by class, and beside it that of the last epoch of training.

    Args:
      results: of results.json; one of an earlier version has no "training".
    """
    console = console or command_line.console()
    windows = int(results["views"].partition("x")[0])
    views = "one centre view of each" if windows == 1 else f"{windows} windows of each"
    print(f"{results['dataset']}, fold {results['fold']}: {results['num_examples']} test clips, {views}")
    table = command_line.table("class", "teacher", "student")
    networks = [results["teacher"], results["student"]]
    for name in results["classes"]:
        table.add_row(name, *[percent(n and n["per_class"][name]) for n in networks])
    table.add_section()
    table.add_row("top-1", *[percent(n and n["top1"]) for n in networks])
    table.add_row("top-5", *[percent(n and n["top5"]) for n in networks])
    if training := results.get("training"):
        table.add_section()
        phases = [training["teacher"], training["student"]]
        table.add_row("top-1 in training", *[percent(phase and phase["top1"]) for phase in phases])
    console.print(table)
    for line in (*agreed(results), *_calibrated(results)):
        console.print(line, highlight=False, soft_wrap=True)
    if results.get("parts"):
        show_parts(results["parts"], console)
    if area := results.get("area"):
        shares = ", ".join(f"{name} {percent(area[name])}" for name in NETWORKS)
        clips = f" of {next(iter(results['lights']))}" if len(results["lights"]) > 1 else ""
        console.print(f"area under the accuracy over brightness{clips}: {shares}", highlight=False, soft_wrap=True)


def _calibrated(results: dict) -> list[str]:
    """How sure the student's answers are, where validation clips have told."""
    student = (results.get("calibration") or {}).get("student")
    if not student:
        return []
    errors = (
        f"calibration error {percent(student['ece_before'])} without it and {percent(student['ece_after'])} with it"
    )
    return [
        f"calibrated on {student['clips']} validation clips: temperature {student['temperature']:.2f}, {errors}; "
        f"below {percent(student['threshold'])} an answer is unsure"
    ]


def show_folds(report: dict, console: Console | None = None) -> None:
    """Prints the accuracy of each fold, and of their test clips together.

    Args:
      report: as `folds.pool` gives it.
    """
    table = command_line.table("", "test clips", *NETWORKS)
    for column in table.columns[1:]:
        column.justify = "right"
    for fold in report["folds"]:
        tested = f" ({', '.join(groups)})" if len(groups := fold["groups"]) in (1, 2) else ""
        shares = [percent(fold[name]) for name in NETWORKS]
        table.add_row(f"fold {fold['fold']}{tested}", f"{fold['num_examples']}", *shares)
    table.add_section()
    if report["in_several_folds"]:
        means = [report["mean"][name] and report["mean"][name]["top1"] for name in NETWORKS]
        cells = [f"{percent(mean[0])} ± {100 * mean[1]:.1f}" if mean else "-" for mean in means]
        table.add_row("mean of folds", "", *cells)
    else:
        pooled = [report[name] for name in NETWORKS]
        table.add_row("all", f"{report['num_examples']}", *[percent(n and n["top1"]) for n in pooled])
        intervals = [" to ".join(percent(bound) for bound in n["interval"]) if n else "-" for n in pooled]
        table.add_row("  95 % interval", "", *intervals)
        table.add_row("  mean of classes", "", *[percent(n and n["mean_class"]) for n in pooled])
    (console or command_line.console()).print(table)
    for line in (*agreed(report), *_about_folds(report)):
        print(line, flush=True)


def _about_folds(report: dict) -> list[str]:
    """What the numbers of `show_folds` mean."""
    clips, groups, several = report["num_examples"], report["num_groups"], report["in_several_folds"]
    drawn = f"whole groups, {groups} in all" if groups else "single clips, because these records name no groups"
    if several:
        about = f"{several} of {clips} clips are tested in several folds, so nothing is pooled: the mean of folds"
    else:
        about = f"each of {clips} clips is answered once, by the network of its own fold; the interval draws {drawn}"
    left = ", ".join(map(str, report["missing"]))
    return [about, *([f"not finished, and in none of these numbers: fold {left}"] if left else [])]


def show_settings(ranked: list[dict], console: Console | None = None) -> None:
    """Prints what `tune.rank` gives, the best setting first."""
    table = command_line.table("setting", "student", "95 % interval", "teacher", "loss")
    for row in ranked:
        low, high = (percent(bound) for bound in row["student"]["interval"])
        teacher = percent(row["teacher"] and row["teacher"]["top1"])
        table.add_row(
            row["setting"], percent(row["student"]["top1"]), f"{low} to {high}", teacher, f"{row['loss']:.3f}"
        )
    (console or command_line.console()).print(table)
    print(f"of {ranked[0]['num_examples']} validation clips; test clips were not read", flush=True)


def unfitted(results: dict, config: Config) -> list[str]:
    """One line for each phase that has not fitted its training clips, with the fields to raise.

    That is where the accuracy of its last epoch, measured on augmented clips while it trained, is less than halfway
    from chance (naming the most frequent class every time) to 1.
    """
    lines = []
    for phase, facts in results.get("training", {}).items():
        if facts and facts["fitted"] is False:
            epochs = _EPOCHS[phase]
            lines.append(
                f"the {phase} has not fitted its training clips: {percent(facts['top1'])} of them are right in its "
                f"last epoch, {percent(facts['chance'])} by chance.  Train anew with a larger "
                f"--config.train.{epochs} (now {facts['epochs']}) or "
                f"--config.train.learning_rate (now {config.train.learning_rate:g})"
            )
    return lines


def next_commands(workdir: Path, videos: list[Path]) -> list[str]:
    """Commands that ask the run about `videos`, or about VIDEO where there are none."""
    named = [str(video) for video in videos] or ["VIDEO"]
    return [
        command("predict", f"--workdir={workdir}", *named),
        command("explain", f"--workdir={workdir}", named[0], f"--out={workdir / 'explained'}"),
    ]


def sample_videos(config: Config, workdir: Path) -> list[Path]:
    """Copies two test videos of different classes into the workdir's folder `videos`, unless they are there already.

    Only records of rendered figures keep the videos that they were made from; for others there are none.

    Returns:
      The copies.
    """
    records = open_records(config.data.dir)
    ids = records.split(config.data.fold, "test")
    rendered = {}
    for folder, part in zip(records.dirs, records.parts, strict=True):
        paths = (folder / "videos" / "clips").glob("*/*.mp4")
        rendered |= {part.clip_id(f"{path.parent.name}/{path.stem}"): path for path in paths}
    video_of = {records.index[i].label: rendered[i] for i in reversed(ids) if i in rendered}
    copies = []
    for label in sorted(video_of)[:_SAMPLES]:
        copy = workdir / "videos" / video_of[label].name
        copy.parent.mkdir(exist_ok=True)
        if not copy.exists():
            with replacing(copy) as part:
                shutil.copyfile(video_of[label], part)
        copies.append(copy)
    return copies
