"""The paper's ablation table (Table VI) as one command: every row is trained, tested and put beside the paper's number.

    lift-flax ablate --config=demo                                                        # on the rendered figures
    lift-flax ablate --config=arid --config.data.dir=RECORDS --workdir=DIR \
        --config.model.pvit.init_from=VIT --config.model.teacher.init_from=IG65M --seeds=3

The same command continues where it was stopped.  Rows are runs of `lift-flax train` in DIR/rows/NAME/seedN; rows that
do not change the teacher share the one of the first row.  Rows that freeze ViT blocks need pretrained ones: those of
--config.model.pvit.init_from, or they are pretrained first on --vit-records.  The figures are rendered where they are
missing: in the dark, with optical flow, for the rows, and by day, other scenes, for the ViT.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags
from flax.traverse_util import flatten_dict, unflatten_dict

from lift_flax import config as config_lib
from lift_flax import config_flags, errors
from lift_flax.ablate.rows import Fields, Row, pretraining, reference, rows
from lift_flax.ablate.table import markdown, show
from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.files import only_writer, write_text
from lift_flax.runs.config_file import FREE_ON_RESUME
from lift_flax.runs.workdir import finished
from lift_flax.weights.converted import load_facts

_DAY_SEED = 1000  # of the figures that the ViT is pretrained on: other rooms and actors than those of the rows
_FIGURES = ("--train-per-class=30", "--test-per-class=24")  # so few that rows differ, and that all take under two hours


def main(argv: list[str] | None = None) -> None:
    """The command line.

    Args:
      argv: flags without the program's name; None takes those of the process.

    Raises:
      UserError: bad flags or config, or a row that failed (the others are made all the same).
    """
    arguments = config_flags.arguments_of(argv)
    values = _flags(arguments)
    if {"--help", "-h"} & set(arguments):
        print(config_flags.help_text(__doc__, values))
        return
    nested = config_flags.parse(values, arguments)
    given = _for_rows(arguments[1:])
    nested["model"]["pvit"]["unfreeze"] = "all"  # that it is frozen is up to the rows
    table = rows(config_lib.from_dict(nested))
    chosen = _chosen(table, values.rows)
    for row in chosen:
        if row.needs != "r3d" or row.changes["model.teacher.name"]:
            config_lib.from_dict(_changed(nested, {**reference("any weights"), **row.changes}))
    workdir = Path(values.workdir).absolute()
    with _ended_by_sigterm(), only_writer(workdir, "--workdir"):
        nested["data"]["dir"] = str(_records(nested, workdir))
        config = config_lib.from_dict(nested)
        vit = _pretrained(config, given, workdir, values.vit_records)
        if not vit:
            print("no pretrained ViT: all ViT blocks are trained, from random ones, in every row", flush=True)
        _claim(workdir, config, vit)
        _run_rows(_Ablation(config, given, workdir, vit), chosen, values.seeds)


def _flags(arguments: list[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.define_config(values, arguments)
    flags.DEFINE_string("workdir", "runs/ablation", "folder of all runs and of the table", flag_values=values)
    flags.DEFINE_integer("seeds", 2, "runs of each row, for their spread", lower_bound=1, flag_values=values)
    flags.DEFINE_string("vit_records", "", "records that a ViT is pretrained on first", flag_values=values)
    flags.DEFINE_list("rows", [], "only these rows, by name, and the first", flag_values=values)
    return values


def _for_rows(words: list[str]) -> list[str]:
    """The flags of the config, which the runs of the rows are given too."""
    given = [word for word in words if re.match(r"-{1,2}(no)?config", word)]
    ours = ("seed", *reference(""))  # and what else rows differ in, but that is theirs alone
    for word in given:
        name = re.fullmatch(r"--config(?:\.([\w.]+))?=.*", word, re.DOTALL)
        if not name:
            raise UserError(f"{word}: write flags of the config as --config=NAME and --config.FIELD=VALUE")
        if name[1] in ours and name[1] != "model.pvit.init_from":
            raise UserError(f"{word}: the rows set config.{name[1]} themselves")
    return given


def _changed(nested: dict, fields: Fields) -> dict:
    """A config's nested values with other fields, by dotted name."""
    flat = flatten_dict(nested, sep=".")
    return unflatten_dict({**flat, **fields}, sep=".")


def _claim(workdir: Path, config: Config, vit: str) -> None:
    """Makes the folder this table's, or checks that it is: rows of another config, clips or ViT have no place in it."""
    path = workdir / "table.json"
    facts = {name: value for name, value in config_lib.flatten(config).items() if not name.startswith(FREE_ON_RESUME)}
    facts["clips"] = hashlib.sha256((Path(config.data.dir) / "folds.json").read_bytes()).hexdigest()
    facts["vit"] = load_facts(Path(vit))["source"]["sha256"] if vit else ""
    facts = json.loads(json.dumps(facts))  # tuples as they are read back
    if path.exists():
        before = json.loads(path.read_text())
        if differ := sorted(name for name in facts if facts[name] != before.get(name)):
            raise UserError(
                f"{workdir} holds a table of another kind ({', '.join(differ[:5])} differ): choose another --workdir"
            )
    write_text(path, json.dumps(facts, indent=2) + "\n")


def _chosen(table: list[Row], names: list[str]) -> list[Row]:
    known = [row.name for row in table]
    if unknown := sorted(set(names) - set(known)):
        raise UserError(f"--rows={unknown[0]} is no row: the rows are {', '.join(known)}")
    return [row for row in table if not names or row.name in names or row is table[0]]


def _records(nested: dict, workdir: Path) -> Path:
    """The records of the rows; the embedded figures are rendered where no records are given."""
    if nested["data"]["dir"] or nested["dataset"] != "night_figures":
        return Path(open_records(nested["data"]["dir"]).dir)
    return _figures(workdir / "records", "--flow")


def _figures(folder: Path, *flags: str) -> Path:
    build = [sys.executable, "-m", "lift_flax.cli", "build", "night_figures", f"--out={folder}"]
    _call([*build, *_FIGURES, *flags], None)
    return folder


def _pretrained(config: Config, given: list[str], workdir: Path, vit_records: str) -> str:
    """Folder of pretrained ViT weights; empty where there are none and nothing to train them on."""
    if config.model.pvit.init_from:
        return config.model.pvit.init_from
    if not vit_records and not Path(config.data.dir).is_relative_to(workdir):
        return ""
    folder, pretrained = workdir / "vit", workdir / "pretraining"
    if (folder / "weights.json").is_file():
        return str(folder)
    if folder.is_dir():
        shutil.rmtree(folder)  # what is left of a conversion that was cut off
    day = Path(vit_records) if vit_records else _figures(workdir / "day", "--light=day", f"--seed={_DAY_SEED}")
    if finished(pretrained) is None:
        print(f"pretraining the ViT on {day} (log: {pretrained}.log)", flush=True)
        command = _command(given, {**pretraining(config), "data.dir": str(day)}, pretrained)
        _call(command, pretrained.with_suffix(".log"))
    results = finished(pretrained)
    print(f"the ViT's own run: {100 * results['student']['top1']:.1f} % of {results['num_examples']} test clips")
    _call([sys.executable, "-m", "lift_flax.weights.convert", "vit", str(pretrained), f"--out={folder}"], None)
    return str(folder)


def _command(given: list[str], fields: Fields, workdir: Path) -> list[str]:
    changes = [f"--config.{name}={value}" for name, value in fields.items()]
    return [sys.executable, "-m", "lift_flax.main", *given, *changes, f"--workdir={workdir}"]


class _Ablation:
    """What all rows share: the config, its flags, the folder, and the folder of ViT weights (empty for none)."""

    def __init__(self, config: Config, given: list[str], workdir: Path, vit: str):
        self.config, self.given, self.workdir, self.vit = config, given, workdir, vit
        self.has_flow = open_records(config.data.dir).has_flow

    def why_not(self, row: Row) -> str:
        """Why a row cannot be run; empty where it can."""
        if row.needs == "flow" and not self.has_flow:
            return "the records hold no optical flow (lift-flax build --flow)"
        if row.needs == "vit" and not self.vit:
            return "no pretrained ViT (--config.model.pvit.init_from or --vit-records)"
        if row.needs == "r3d" and not row.changes["model.teacher.name"]:
            return f"{self.config.model.teacher.name} has no R3D of its size"
        if row.needs == "r3d" and self.config.model.teacher.init_from:
            return "the reference's R(2+1)D is pretrained and no R3D is"
        return ""

    def place(self, row: Row, seed: int) -> Path:
        """The workdir of one run."""
        return self.workdir / "rows" / row.name / f"seed{seed}"

    def command(self, row: Row, seed: int, first: Row) -> list[str]:
        """The command line of one run."""
        fields = {"seed": seed, "data.dir": self.config.data.dir, **reference(self.vit), **row.changes}
        if not row.own_teacher:
            fields["train.teacher_from"] = str(self.place(first, seed))
        return _command(self.given, fields, self.place(row, seed))


def _run_rows(ablation: _Ablation, chosen: list[Row], seeds: int) -> None:
    """Runs what has not been run, seed by seed, and writes the table after each run."""
    failed = []
    for seed in range(seeds):
        for number, row in enumerate(chosen):
            if ablation.why_not(row):
                continue
            place = ablation.place(row, seed)
            if finished(place) is None:
                print(f"seed {seed}, row {number + 1} of {len(chosen)}: {row.title} ...", flush=True)
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    _call(ablation.command(row, seed, chosen[0]), place.with_suffix(".log"))
                except UserError as error:
                    failed.append(row.name)
                    print(f"  {error}", flush=True)
                    continue
            results = finished(place)
            print(f"  {row.title}: {100 * results['student']['top1']:.1f} %, {results['seconds']:.0f} s", flush=True)
            _write(ablation, chosen, seeds)
    show(_write(ablation, chosen, seeds))
    print(f"table: {ablation.workdir}/ablation.md and ablation.json")
    if failed:
        raise UserError(f"rows that failed: {', '.join(sorted(set(failed)))}; the same command tries them again")


def _write(ablation: _Ablation, chosen: list[Row], seeds: int) -> dict:
    """Writes what is there so far as ablation.json and ablation.md."""
    table = {"dataset": ablation.config.dataset, "seeds": seeds, "rows": []}
    for row in chosen:
        found = [finished(ablation.place(row, seed)) for seed in range(seeds)]
        runs = [{"seed": seed, **_scores(results)} for seed, results in enumerate(found) if results]
        why = ablation.why_not(row)
        table["rows"].append({"name": row.name, "title": row.title, "paper": row.paper, "why_not": why, "runs": runs})
    write_text(ablation.workdir / "ablation.json", json.dumps(table, indent=2) + "\n")
    write_text(ablation.workdir / "ablation.md", markdown(table))
    return table


def _scores(results: dict) -> dict:
    top1 = {network: results[network] and results[network]["top1"] for network in ("student", "teacher")}
    return {**top1, "num_examples": results["num_examples"]}


def _call(command: list[str], log: Path | None) -> None:
    """Runs a process to its end, its output to `log` (or to ours); a stop of this one stops it first.

    Raises:
      UserError: it did not end well; with the last line that it wrote.
    """
    started = time.time()
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("a")) if log else None
        environment = {"PYTHONUNBUFFERED": "1", **os.environ}
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT if log else None, env=environment)
        stack.callback(_end, process)
        code = process.wait()
    if code == 0 and log and "the same command continues" in _last_line(log) and log.stat().st_mtime >= started:
        raise KeyboardInterrupt  # it was asked to end, and has saved
    if code:
        told = f": {_last_line(log)} (all of it: {log})" if log else ""
        raise UserError(f"`{' '.join(command[1:4])} ...` ended with code {code}{told}")


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing was written"


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM end what is done here as Ctrl-C does."""

    def stop(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    errors.run_cli(main)
