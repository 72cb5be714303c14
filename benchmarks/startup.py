"""How long it takes from typing the command to the first finished training step, with an empty and a full cache.

    python benchmarks/startup.py --records runs/demo/dark         # of `make demo`
    python benchmarks/startup.py --records runs/demo/dark --rounds 3 --json

Starts `python -m lift_flax.main` on the demo's config as a user does, with a compilation cache of its own that is empty
at first, and ends it when metrics.jsonl tells of the teacher's first step; then the same again with the cache that this
left behind.  What the program says on its way gives the parts:

  import      of lift_flax.main, in a process of its own
  data        from there to the line about processes and devices: config, records, checks of the networks
  init        to the line about the teacher: random weights and moments
  first step  to its line in metrics.jsonl: loader, augmentation, step, each compiled
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lift_flax import command_line
from lift_flax.errors import UserError, run_cli

ROOT = Path(__file__).parents[1]
MARKS = {"data": "processes: ", "init": "teacher: "}  # a part -> how the line begins that ends it
MOST_SECONDS = 300


def import_seconds() -> float:
    """Seconds of a process that only imports the command."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import lift_flax.main"], check=True, cwd=ROOT)
    return time.perf_counter() - start


def start_seconds(records: Path, workdir: Path, cache: Path) -> dict[str, float]:
    """Seconds of each part but the import (which "data" holds here), and "total"."""
    command = [sys.executable, "-m", "lift_flax.main", "--config=configs/demo.py", f"--config.data.dir={records}"]
    command += [f"--workdir={workdir}", "--config.log.every_steps=1", "--config.log.progress=False"]
    # as compilation_cache.py has it where the user has chosen nothing
    small_too = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = {**os.environ, **small_too, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    times, said = {}, []
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def read() -> None:
        for line in process.stdout:
            said.append(line)
            for part, beginning in MARKS.items():
                if line.startswith(beginning):
                    times.setdefault(part, time.perf_counter() - start)

    reader = threading.Thread(target=read)
    reader.start()
    metrics = workdir / "metrics.jsonl"
    while not metrics.exists() or "\n" not in metrics.read_text():
        if process.poll() is not None or time.perf_counter() - start > MOST_SECONDS:
            break
        time.sleep(0.01)
    else:
        times["total"] = time.perf_counter() - start
    process.kill()
    process.wait()
    reader.join()
    if "total" not in times:
        raise UserError(f"no first step: {''.join(said[-3:]).strip()}")
    return times


def parts(imported: float, times: dict[str, float]) -> dict[str, float]:
    """Seconds by part, as the top of this file lists them, and "total"."""
    return {
        "import": imported,
        "data": times["data"] - imported,
        "init": times["init"] - times["data"],
        "first step": times["total"] - times["init"],
        "total": times["total"],
    }


def main() -> None:
    """Prints the median of the rounds."""
    parser = command_line.parser(__doc__, "python -m benchmarks.startup")
    parser.add_argument("--records", type=Path, required=True, help="of night_figures")
    parser.add_argument("--rounds", type=int, default=1, help="each of an empty and a full cache")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    imported = statistics.median(import_seconds() for _ in range(3))
    found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for kind, rounds in found.items():
                times = start_seconds(args.records.absolute(), Path(folder) / kind, Path(folder) / "cache")
                rounds.append(parts(imported, times))
    medians = {
        kind: {name: round(statistics.median(r[name] for r in rounds), 2) for name in rounds[0]}
        for kind, rounds in found.items()
    }
    if args.json:
        print(json.dumps({**medians, "rounds": args.rounds, "load": round(os.getloadavg()[0], 2)}))
        return
    for kind, seconds in medians.items():
        print(f"{kind}: " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))


if __name__ == "__main__":
    run_cli(main)
