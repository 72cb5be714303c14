"""How a training step's time, work and memory grow with what a user can choose.

    python benchmarks/scaling.py                       # all lines, about ten minutes on two cores
    python benchmarks/scaling.py --what=frames --json

Every line is a process of its own (benchmarks/train_step.py): the paper's network with the R(2+1)D at 112x112, 30
frames, eight levels and one clip, but for what the line changes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

STEP = Path(__file__).with_name("train_step.py")
BASE = {"size": 112, "frames": 30, "n": 8, "batch": 1}
LINES = {  # what grows: (the flag of train_step.py, its values)
    "frames": ("frames", (8, 16, 32, 64)),
    "resolution": ("size", (64, 112, 160, 224)),
    "levels": ("n", (1, 2, 4, 8)),
    "batch": ("batch", (1, 2, 4)),
}


def measure(**settings: int) -> dict:
    """What train_step.py tells of a step with these settings."""
    flags = [f"--{name}={value}" for name, value in {**BASE, **settings}.items()]
    done = subprocess.run(
        [sys.executable, str(STEP), "--steps=2", "--json", *flags], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"train_step.py {' '.join(flags)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=(*LINES, "all"), default="all")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each measurement")
    args = parser.parse_args()
    if not args.json:
        print(f"{'':20s} {'s a step':>9s} {'GFLOP':>8s} {'GFLOP/s':>8s} {'of a product':>13s} {'peak MiB':>9s}")
    for what in LINES if args.what == "all" else (args.what,):
        flag, values = LINES[what]
        for value in values:
            m = measure(**{flag: value})
            if args.json:
                print(json.dumps({"what": what, **m}), flush=True)
                continue
            print(
                f"{what + ' ' + str(value):20s} {m['step_s']:9.2f} {m['gflop']:8.0f} {m['gflop'] / m['step_s']:8.0f} "
                f"{100 * m['share_of_ceiling']:11.0f} % {m['peak_rss_mib']:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
