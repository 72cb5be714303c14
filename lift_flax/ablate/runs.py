"""The runs behind the rows of an ablation: each a process of `lift-flax train`, skipped where it has finished."""

import json
import shutil
import sys
from pathlib import Path

from lift_flax.ablate.processes import call
from lift_flax.ablate.rows import AblationRow, Fields, pretraining, reference
from lift_flax.ablate.table import markdown, show
from lift_flax.command_line import percent
from lift_flax.config import Config
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.runs.workdir import finished

_DAY_SEED = 1000  # of the figures that the ViT is pretrained on: other rooms and actors than those of the rows
_FIGURES = ("--train-per-class=30", "--test-per-class=24")  # so few that rows differ, and that all take under two hours


class Ablation:
    """What all rows share.

    Args:
      given: flags of the config, for every run.
      workdir: folder of all runs and of the table.
      vit: folder of pretrained ViT weights; "" for none.
    """

    def __init__(self, config: Config, given: list[str], workdir: Path, vit: str):
        self.config, self.given, self.workdir, self.vit = config, given, workdir, vit
        self.has_flow = open_records(config.data.dir).has_flow

    def why_not(self, row: AblationRow) -> str:
        """Why a row cannot be run; "" if it can."""
        if row.needs == "flow" and not self.has_flow:
            return "the records hold no optical flow (lift-flax build --flow)"
        if row.needs == "vit" and not self.vit:
            return "no pretrained ViT (--config.model.pvit.init_from or --vit-records)"
        if row.needs == "r3d" and not row.changes["model.teacher.name"]:
            return f"{self.config.model.teacher.name} has no R3D of its size"
        if row.needs == "r3d" and self.config.model.teacher.init_from and "model.teacher.init_from" not in row.changes:
            return "the reference's R(2+1)D is pretrained and no R3D is (--r3d-weights)"
        return ""

    def place(self, row: AblationRow, seed: int) -> Path:
        """The workdir of one run."""
        return self.workdir / "rows" / row.name / f"seed{seed}"

    def command(self, row: AblationRow, seed: int, first: AblationRow) -> list[str]:
        """The command line of one run."""
        fields = {"seed": seed, "data.dir": self.config.data.dir, **reference(self.vit), **row.changes}
        if not row.own_teacher:
            fields["train.teacher_from"] = str(self.place(first, seed))
        return _command(self.given, fields, self.place(row, seed))


def run_rows(ablation: Ablation, chosen: list[AblationRow], seeds: int) -> None:
    """Runs what has not finished yet, seed by seed, and writes the table after each run.

    Raises:
      UserError: runs failed; the others are run all the same.
    """
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
                    call(ablation.command(row, seed, chosen[0]), place.with_suffix(".log"))
                except UserError as error:
                    failed.append(row.name)
                    print(f"  {error}", flush=True)
                    continue
            results = _results(place)
            print(f"  {row.title}: {percent(results['student']['top1'])}, {results['seconds']:.0f} s", flush=True)
            _write(ablation, chosen, seeds)
    show(_write(ablation, chosen, seeds))
    print(f"table: {ablation.workdir}/ablation.md and ablation.json")
    if failed:
        raise UserError(f"rows that failed: {', '.join(sorted(set(failed)))}; the same command tries them again")


def _write(ablation: Ablation, chosen: list[AblationRow], seeds: int) -> dict:
    """Writes the table of the runs that have finished as ablation.json and ablation.md."""
    table = {"dataset": ablation.config.dataset, "seeds": seeds, "rows": []}
    for row in chosen:
        of_seeds = [finished(ablation.place(row, seed)) for seed in range(seeds)]
        runs = [{"seed": seed, **_scores(results)} for seed, results in enumerate(of_seeds) if results]
        why = ablation.why_not(row)
        table["rows"].append({"name": row.name, "title": row.title, "paper": row.paper, "why_not": why, "runs": runs})
    write_text(ablation.workdir / "ablation.json", json.dumps(table, indent=2) + "\n")
    write_text(ablation.workdir / "ablation.md", markdown(table))
    return table


def _scores(results: dict) -> dict:
    top1 = {network: results[network] and results[network]["top1"] for network in ("student", "teacher")}
    return {**top1, "num_examples": results["num_examples"]}


def render_figures(folder: Path, *flags: str) -> Path:
    """Builds records of rendered figures in `folder`, with more `flags` of `lift-flax build night_figures`."""
    build = [sys.executable, "-m", "lift_flax.cli", "build", "night_figures", f"--out={folder}"]
    call([*build, *_FIGURES, *flags], None)
    return folder


def pretrained_vit(config: Config, given: list[str], workdir: Path, vit_records: str) -> str:
    """Folder of pretrained ViT weights, which are trained first where there is something to train them on.

    Args:
      given: flags of the config.
      vit_records: records to train them on; "" takes rendered figures by day where the rows take figures too.
    Returns:
      The folder; "" without weights.
    """
    if config.model.pvit.init_from:
        return config.model.pvit.init_from
    if not vit_records and not Path(config.data.dir).is_relative_to(workdir):
        return ""
    folder, pretrained = workdir / "vit", workdir / "pretraining"
    if (folder / "weights.json").is_file():
        return str(folder)
    if folder.is_dir():
        shutil.rmtree(folder)  # what an interrupted conversion left
    day = Path(vit_records) if vit_records else render_figures(workdir / "day", "--light=day", f"--seed={_DAY_SEED}")
    if finished(pretrained) is None:
        print(f"pretraining the ViT on {day} (log: {pretrained}.log)", flush=True)
        command = _command(given, {**pretraining(config), "data.dir": str(day)}, pretrained)
        call(command, pretrained.with_suffix(".log"))
    results = _results(pretrained)
    print(f"the ViT's own run: {percent(results['student']['top1'])} of {results['num_examples']} test clips")
    call([sys.executable, "-m", "lift_flax.weights.convert", "vit", str(pretrained), f"--out={folder}"], None)
    return str(folder)


def _command(given: list[str], fields: Fields, workdir: Path) -> list[str]:
    changes = [f"--config.{name}={value}" for name, value in fields.items()]
    return [sys.executable, "-m", "lift_flax.main", *given, *changes, f"--workdir={workdir}"]


def _results(workdir: Path) -> dict:
    """The results of a run that has ended well.  Raises UserError where it wrote none."""
    results = finished(workdir)
    if results is None:
        raise UserError(f"{workdir} holds no results though its run ended: remove it and give the command again")
    return results
