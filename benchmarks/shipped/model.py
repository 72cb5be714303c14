"""Makes the network that comes with lift_flax, from nothing: `make shipped-model`.

    python -m benchmarks.shipped.model --out=runs/shipped
    python -m benchmarks.shipped.model --out=runs/shipped --weizmann=DIR --arid=DIR     # scores real clips, too

Renders people, trains on them, scores the result, and writes lift_flax/shipped/ and its section of docs/results.md:
some two hours of one core and more.  Seeds are fixed; what is done is kept, so the same command goes on.
Without real clips the numbers that the package there has of them stay, where its weights are the same.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.shipped import card, measuring
from lift_flax import command_line, compiling
from lift_flax.errors import run_cli
from lift_flax.export.package import check_out, write_package
from lift_flax.files import write_text
from lift_flax.runs.places import SHIPPED_FOLDER
from lift_flax.runs.trained import TrainedRun, open_trained

CLIPS, SEED = 3300, 0  # rendered, to train on and to test while it trains
TRAININGS = ((24, 8), (16, 6))  # epochs of teacher and student; the second starts from the first
LICENSE, DTYPE = "apache-2.0", "float16"
PAGE = Path(__file__).parents[2] / "docs" / "results.md"
BUILD = ("--scenes=street", f"--seed={SEED}", f"--clips={CLIPS}", "--size=120", "--codec=original", "--flow")
TRAIN = (
    "--config=own:tiny", "--config.train.teacher_least_steps=0", "--config.train.student_least_steps=0",
    "--config.data.val_share=0.1", "--config.log.progress=False",
)  # fmt: skip


def trained_run(out: Path) -> Path:
    """Renders and trains below a folder, as far as that is not done; returns the workdir of the last training."""
    _command("build", "night_figures", *BUILD, f"--out={out / 'records'}")
    workdir = ""
    for number, (teacher, student) in enumerate(TRAININGS, 1):
        epochs = (f"--config.train.teacher_epochs={teacher}", f"--config.train.student_epochs={student}")
        places = (f"--config.data.dir={out / 'records'}", f"--config.train.init_from={workdir}")
        workdir = str(out / f"run{number}")
        _command("train", *TRAIN, *epochs, *places, f"--workdir={workdir}")
    return Path(workdir)


def write(run: Path, out: Path, package: Path, measured_on: dict[str, Path | None]) -> dict[str, Any]:
    """Scores a run as the package that it becomes, and writes that with its card; returns what was measured.

    Args:
      run: workdir.
      out: folder that keeps the clips that are scored.
      package: to write.
      measured_on: folders of real clips: "weizmann", "arid"; None leaves them out.
    """
    check_out(package, overwrite=True)
    trained, bare = open_trained(run), out / "bare" / package.name
    bare.parent.mkdir(parents=True, exist_ok=True)
    write_package(trained, bare, license_id=LICENSE, dtype=DTYPE)
    dark = out / "dark" if measured_on["weizmann"] else None
    if dark:
        _command("darken", f"--videos={measured_on['weizmann']}", f"--luma={measuring.LUMA}", f"--out={dark}")
    sets = measuring.real_sets(measured_on["weizmann"], dark, measured_on["arid"])
    measured = measuring.measure(bare, trained, out / "rendered", sets)
    measured["real"] = _kept(package, measured["weights"]) | measured["real"]
    trainings = 2 if trained.config.train.init_from else 1
    measured["made"] = {"clips": CLIPS, "seed": SEED, "trainings": trainings}
    measured["in_words"] = card.in_words(measured)
    stated = dataclasses.replace(trained, facts={**trained.facts, "measured": measured})
    text = f"## The network that comes with lift_flax\n\n{card.body(measured, trained)}"
    write_package(stated, package, card=text, license_id=LICENSE, dtype=DTYPE)
    if measuring.weights_digest(package) != measured["weights"]:
        raise RuntimeError(f"{package} holds other weights than were measured")
    return measured


def _kept(package: Path, weights: str) -> dict[str, Any]:
    """What an earlier package says of real clips; nothing where it has other weights."""
    facts = package / "run.json"
    earlier = json.loads(facts.read_text()).get("measured", {}) if facts.exists() else {}
    return earlier["real"] if earlier.get("weights") == weights else {}


def _command(*words: str) -> None:
    print("lift-flax", *words, flush=True)
    subprocess.run([sys.executable, "-m", "lift_flax.cli", *words], check=True)


def main() -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "benchmarks.shipped.model")
    parser.add_argument("--out", type=Path, required=True, help="gets records, runs and the clips that are scored")
    parser.add_argument("--run", type=Path, help="workdir that is trained already: nothing is rendered to train on")
    parser.add_argument("--weizmann", type=Path, help="folder of Weizmann's clips")
    parser.add_argument("--arid", type=Path, help="folder of ARID's clips and lists")
    parser.add_argument("--package", type=Path, default=SHIPPED_FOLDER, help="to write (default lift_flax/shipped)")
    parser.add_argument("--page", type=Path, default=PAGE, help="whose section is written (default docs/results.md)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    compiling.keep_compiled_programs()
    run = args.run or trained_run(args.out)
    measured = write(run, args.out, args.package, {"weizmann": args.weizmann, "arid": args.arid})
    write_text(args.out / "measured.json", json.dumps(measured, indent=2) + "\n")
    card.write_page(args.page, page_text(open_trained(args.package)))
    size = sum(path.stat().st_size for path in args.package.iterdir())
    print(f"{args.package}: {size / 1e6:.1f} MB; {measured['in_words']}")


def page_text(trained: TrainedRun) -> str:
    """What docs/results.md says of a package that `write` made."""
    return card.body(trained.facts["measured"], trained)


if __name__ == "__main__":
    run_cli(main)
