"""kill -9 at random moments of a whole run, and whether the same command then ends as if nothing had happened.

    python benchmarks/kill_and_resume.py                   # 20 kills; renders its own clips
    python benchmarks/kill_and_resume.py --kills 3 --records RECORDS

A run of both phases with a checkpoint every epoch is made once without harm and timed.  Then, for each kill, a fresh
run is killed at a moment drawn uniformly from that time, and the same command is given again.  Parameters, statistics,
moments, metrics, predictions and results must be those of the unharmed run bit by bit; clock and memory aside.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from lift_flax.models.functional import flatten
from lift_flax.runs.metrics_log import read_metrics

ROOT = Path(__file__).parents[1]
SMALL = {
    "data.num_frames": 4, "data.size": 32, "data.val_share": 0.25, "model.luminous.size": 32, "model.levels": 1,
    "model.pvit.blocks": 2, "model.pvit.dim": 24, "model.pvit.num_heads": 2, "model.pvit.mlp_dim": 48,
    "train.batch_size": 4, "train.teacher_epochs": 6, "train.student_epochs": 6, "log.every_steps": 1,
}  # fmt: skip


def start(records: Path, workdir: Path) -> subprocess.Popen:
    """The run, in a process of its own."""
    command = [sys.executable, "-m", "lift_flax.main", "--config=configs/demo.py", f"--workdir={workdir}"]
    command += [f"--config.{name}={value}" for name, value in {"dataset": "mine", "data.dir": records, **SMALL}.items()]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    """Waits for a run; ends this script where it fails."""
    _, said = process.communicate()
    if process.returncode:
        sys.exit(f"a run failed with exit code {process.returncode}:\n{said}")


def outcome(workdir: Path) -> dict[str, np.ndarray | str]:
    """Everything that a run leaves behind and that must not depend on its being killed."""
    found = {"metrics": json.dumps(read_metrics(workdir))}
    results = json.loads((workdir / "results.json").read_text())
    found["results"] = json.dumps({name: value for name, value in results.items() if name != "seconds"})
    with np.load(workdir / "test_predictions.npz") as predictions:
        found.update({f"predictions/{name}": predictions[name] for name in predictions.files})
    for phase in ("teacher", "student"):
        steps = sorted(int(path.name) for path in (workdir / phase).iterdir() if path.name.isdigit())
        found[f"{phase}/steps"] = str(steps)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            for step in steps:
                state = reader.restore(workdir / phase / str(step) / "state", args=ocp.args.PyTreeRestore())
                state["opt_state"] = {str(i): part for i, part in enumerate(state["opt_state"]) if part}
                found.update({f"{phase}/{step}/{name}": np.asarray(leaf) for name, leaf in flatten(state).items()})
    return found


def differences(one: dict, two: dict) -> list[str]:
    """Names of what is not the same, bit by bit."""
    names = sorted(one.keys() ^ two.keys())
    return names + [name for name in one if name in two and not np.array_equal(one[name], two[name])]


def reached(workdir: Path) -> str:
    """What is on disk: the newest checkpoint of each phase, and a save that was cut off."""
    parts = []
    for phase in ("teacher", "student"):
        names = [path.name for path in (workdir / phase).iterdir()] if (workdir / phase).is_dir() else []
        if steps := [int(name) for name in names if name.isdigit()]:
            parts.append(f"{phase} {max(steps)}")
        if any("tmp" in name for name in names):
            parts.append("amid a save")
    return ", ".join(parts) or "no checkpoint"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--records", type=Path, help="records to train on; rendered if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    draw, harmed = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        records = (args.records or root / "records").absolute()
        if not args.records:
            build = [sys.executable, "-m", "data_prep.build", "night_figures", "--out", str(records)]
            subprocess.run([*build, "--train-per-class", "3", "--test-per-class", "1"], cwd=ROOT, check=True)
        finish(start(records, root / "warm"))  # compiles: the runs that follow find the programs in the cache
        began = time.monotonic()
        finish(start(records, root / "whole"))
        seconds, whole = time.monotonic() - began, outcome(root / "whole")
        print(f"unharmed: {seconds:.1f} s, {len(whole)} arrays and texts to compare", flush=True)
        for kill in range(args.kills):
            moment, workdir = draw.uniform(0, seconds), root / "harmed"
            process = start(records, workdir)
            time.sleep(moment)
            killed = process.poll() is None
            process.kill()
            process.communicate()
            at = reached(workdir)
            finish(start(records, workdir))
            differ = differences(outcome(workdir), whole)
            harmed += bool(differ)
            how = f"killed after {moment:.1f} s ({at})" if killed else f"had ended before {moment:.1f} s"
            print(f"{kill + 1}: {how}: {'DIFFERS in ' + ', '.join(differ[:5]) if differ else 'the same'}", flush=True)
            shutil.rmtree(workdir)
    print(f"{args.kills} kills, {harmed} runs harmed")
    sys.exit(1 if harmed else 0)


if __name__ == "__main__":
    main()
