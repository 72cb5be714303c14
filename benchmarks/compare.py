"""Our training step against PyTorch's for the same work, step by step in turn on the same cores.

    python benchmarks/compare.py                                    # the student's step at 112 and at 224
    python benchmarks/compare.py --size=112 --against=savings --rounds=7
    python benchmarks/compare.py --size=112 --against=teacher       # the R(2+1)D's own training step
    python benchmarks/compare.py --memory-format=channels_last_3d   # PyTorch's quicker layout in the direct one as well

One process each (benchmarks/train_step.py and benchmarks/torch_baseline.py, whose --check shows that both compute the
same) gets ready and runs two steps that do not count.  Then each round is one step of ours, one of PyTorch's, and a
plain float32 product in both; the one that does not compute waits for its input without using the cores.  The ratio of
a round is PyTorch's seconds over ours: above 1 we are quicker.  Threads of either side sleep within milliseconds of
their last work, so neither needs settings for it (OMP_WAIT_POLICY and the like).
"""

import argparse
import contextlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from timed_steps import count

from lift_flax import command_line
from lift_flax.errors import UserError, run_cli

FOLDER = Path(__file__).parent


class Worker:
    """A process that runs a step whenever it is asked (benchmarks/timed_steps.py)."""

    def __init__(self, name: str, script: str, arguments: list[str]):
        self.name = name
        command = [sys.executable, FOLDER / script, "--worker", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self) -> dict:
        """The next answer; ends this script where there is none."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the process of {self.name} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def ask(self, command: str) -> dict:
        """The answer to a command, which is waited for."""
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
        return self.read()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()  # after its results, or in a failure
        self.process.communicate()


def say(text: str) -> None:
    """Progress, beside the results."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def start(args: argparse.Namespace, size: int, stack: contextlib.ExitStack) -> tuple[Worker, Worker]:
    """(ours, PyTorch's), ready, one started after the other."""
    shared = [f"--size={size}", f"--frames={args.frames}", f"--n={args.n}", f"--batch={args.batch}"]
    phase = "teacher" if args.against == "teacher" else "student"
    theirs = [f"--variant={args.against}", *([f"--memory-format={args.memory_format}"] if args.memory_format else [])]
    workers = []
    for name, script, own in (
        ("lift_flax", "train_step.py", [f"--phase={phase}"]),
        (f"PyTorch, {args.against}", "torch_baseline.py", theirs),
    ):
        worker = stack.enter_context(Worker(name, script, shared + own))
        say(f"{size} px: {name} is ready, its second step took {worker.read()['seconds']:.2f} s")
        workers.append(worker)
    return tuple(workers)


def compare(args: argparse.Namespace, size: int) -> dict:
    """Everything that is known of one size: both sides' results, and the ratios by round."""
    with contextlib.ExitStack() as stack:
        workers = start(args, size, stack)
        ratios = []
        for number in range(args.rounds):
            ours, theirs = (worker.ask("step")["seconds"] for worker in workers)
            for worker in workers:
                worker.ask("ceiling")
            ratios.append(theirs / ours)
            say(
                f"{size} px, round {number + 1}: lift_flax {ours:.2f} s, PyTorch {theirs:.2f} s, ratio {ratios[-1]:.2f}"
            )
        ours, theirs = (worker.ask("quit") for worker in workers)
    return {
        "size": size,
        "against": args.against,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ratio_all": ratios,
        "gflop_ratio": ours["gflop"] / theirs["gflop"],
        "peak_rss_ratio": ours["peak_rss_mib"] / theirs["peak_rss_mib"],
        "ours": ours,
        "theirs": theirs,
    }


def print_table(result: dict, rounds: int) -> None:
    """The result of one size for people."""
    ours, theirs = result["ours"], result["theirs"]
    what = f"{ours['phase']}'s step, {ours['frames']} frames, luminous {ours['size']} px, batch {ours['batch']}"
    print(f"\n{what}{', N=' + str(ours['n']) if ours['phase'] == 'student' else ''}, {rounds} rounds")
    print(f"{'':18s}  median     min     max    GFLOP        product  share        peak")
    for name, side in (("lift_flax", ours), (f"PyTorch, {result['against']}", theirs)):
        seconds = (side["step_s"], min(side["step_s_all"]), max(side["step_s_all"]))
        print(
            f"{name:18s}" + "".join(f"{value:6.2f} s" for value in seconds) + f"{side['gflop']:9.1f}"
            f"{side['matmul_ceiling_gflops']:7.0f} GFLOP/s{100 * side['share_of_ceiling']:5.0f} %"
            f"{side['peak_rss_mib']:8.0f} MiB"
        )
    print(f"PyTorch's time over ours: {result['ratio']:.2f} ({result['ratio_min']:.2f} to {result['ratio_max']:.2f})")
    print(f"ours over PyTorch's: operations {result['gflop_ratio']:.3f}, peak memory {result['peak_rss_ratio']:.2f}")


def main() -> None:
    """Compares at every size."""
    parser = command_line.parser(__doc__, "python -m benchmarks.compare")
    parser.add_argument("--size", type=count, action="append", help="px, side of the R(2+1)D's frames (again for more)")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--against", choices=("direct", "savings", "teacher"), default="direct")
    formats = ("contiguous", "channels_last_3d")
    parser.add_argument("--memory-format", choices=formats, help="of PyTorch's R(2+1)D: see torch_baseline.py")
    parser.add_argument("--frames", type=count, default=30, help="of a clip")
    parser.add_argument("--n", type=count, default=8, help="levels")
    parser.add_argument("--batch", type=count, default=1, help="clips")
    parser.add_argument("--json", action="store_true", help="print one line of JSON and nothing else")
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch is not installed: pip install -e '.[torch]'")
    results = []
    for size in args.size or (112, 224):
        results.append(compare(args, size))
        if not args.json:
            print_table(results[-1], args.rounds)
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    run_cli(main)
