"""Settings compared on validation clips: each is trained on the same clips and ranked; test clips are never read.

A file names them, one on each line, as fields with their values: `model.luminous.input=flow train.learning_rate=3e-4`.
What follows # is a note.  The config as it is comes first, whatever the file names.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.distributed import processes
from lift_flax.distributed.processes import Stopped, StopSignal
from lift_flax.errors import UserError, system_reason
from lift_flax.files import write_text
from lift_flax.runs.workdir import check_continues
from lift_flax.train import run

AS_IT_IS = "as it is"
_RANKING = "tune.json"
_LONGEST = 100  # characters of a folder's name


@dataclasses.dataclass(frozen=True)
class Setting:
    """One line of the file: what it says, the config that it makes, and the workdir of its run."""

    name: str
    config: Config
    workdir: Path


def read(file: Path, configured: Callable[[list[str]], Config], workdir: Path) -> list[Setting]:
    """The settings of a file, after the config as it is.

    Args:
      configured: the config with fields set otherwise, of words as "train.learning_rate=3e-4".
      workdir: holds a folder for each.
    Raises:
      UserError: the file cannot be read, or a line is no setting, or stands twice.
    """
    try:
        lines = [line.partition("#")[0].split() for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = system_reason(error) if isinstance(error, OSError) else "not text"
        raise UserError(f"--tune={file} cannot be read: {reason}") from error
    settings = {AS_IT_IS: Setting(AS_IT_IS, configured([]), workdir / "as_it_is")}
    for number, words in enumerate(lines, 1):
        words = [word.removeprefix("--").removeprefix("config.") for word in words]
        if not words:
            continue
        if wrong := [word for word in words if not re.fullmatch(r"[\w.]+=\S*", word)]:
            raise UserError(f"line {number} of {file}: '{wrong[0]}' sets no field: write FIELD=VALUE")
        name = " ".join(words)
        if name in settings:
            raise UserError(f"line {number} of {file}: '{name}' stands there twice")
        try:
            settings[name] = Setting(name, configured(words), workdir / _folder(name))
        except UserError as error:
            raise UserError(f"line {number} of {file}: {error}") from error
    if len(settings) == 1:
        raise UserError(f"--tune={file} names no settings: write one on each line, as train.learning_rate=3e-4")
    return [*settings.values()]


def check(settings: list[Setting], workdir: Path) -> None:
    """Checks all settings before the first one is trained, and makes their folder a folder of settings.

    Raises:
      UserError: one cannot be trained, there are no validation clips, settings have different ones, or the folder
        holds something else.
    """
    with processes.all_or_none():
        clips = None
        if workdir.exists() and not (workdir / _RANKING).exists() and (not workdir.is_dir() or any(workdir.iterdir())):
            raise UserError(f"{workdir} is not empty and holds no settings of --tune: choose another --workdir")
        for setting in settings:
            try:
                records = open_records(setting.config.data.dir)
                start = run.resolve(setting.config, records, setting.workdir)
            except UserError as error:
                raise UserError(f"{setting.name}: {error}") from error
            if not start.val_ids:
                raise UserError(f"{records.place} has no validation clips: set config.data.val_share=0.2")
            own = sorted((records.index[i].content, i) for i in start.val_ids)
            if own != (clips := clips or own):
                raise UserError(
                    f"'{setting.name}' validates on other clips than the config as it is: leave seed, data.dir, "
                    "data.fold and data.val_share out of the settings"
                )
            check_continues(setting.workdir, *start.identity(), weights=start.weights)
    with processes.all_or_none():
        if processes.is_first() and not (workdir / _RANKING).exists():
            workdir.mkdir(parents=True, exist_ok=True)
            write_text(workdir / _RANKING, "[]\n")


def train_each(settings: list[Setting], stop: StopSignal | None = None) -> Iterator[tuple[Setting, dict]]:
    """Trains setting after setting; yields each with what `run.train_and_validate` returns.

    One that fails, as by a loss that is not finite, is left out with a line that says why.

    Raises:
      UserError: none can be trained; or of several processes, one cannot.
      Stopped: `stop` came; what was reached is saved, and the same command goes on.
    """
    failed: list[str] = []
    for number, setting in enumerate(settings, 1):
        print(f"setting {number} of {len(settings)}: {setting.name}", flush=True)
        try:
            found = run.train_and_validate(setting.config, setting.workdir, stop)
        except (UserError, Stopped) as error:
            if isinstance(error, UserError) and jax.process_count() == 1 and len(failed) + 1 < len(settings):
                failed.append(setting.name)
                print(f"{setting.name} failed and is not ranked: {error}", flush=True)
                continue
            error.args = (f"{setting.name}: {error}",)  # of the same class: `leave_after` asks for it
            raise
        yield setting, found


def rank(found: list[tuple[Setting, dict]], workdir: Path) -> list[dict]:
    """The settings from the best student on, by accuracy and then by loss; the first process writes tune.json."""
    ranked = sorted(found, key=lambda pair: (-pair[1]["student"]["top1"], pair[1]["loss"]))
    report = [{"setting": setting.name, "workdir": setting.workdir.name, **scores} for setting, scores in ranked]
    with processes.all_or_none():
        if processes.is_first():
            write_text(workdir / _RANKING, json.dumps(report, indent=2) + "\n")
    return report


def _folder(name: str) -> str:
    text = re.sub(r"[^\w.=+-]+", "_", name)
    if len(text) <= _LONGEST and text == name.replace(" ", "_"):
        return text
    return f"{text[:_LONGEST]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
