"""What the scripts that time a training step share: steps in a row, steps on demand, and the results of both.

On demand: a worker process prepares a step, runs it twice, writes a line of JSON, and then answers each line it reads
with another: "step" with its seconds and loss, "ceiling" with the GFLOP/s of a plain product, "quit" with the results.
Between them it sleeps, so that several workers can take turns on the same cores (benchmarks/compare.py).
"""

import argparse
import dataclasses
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

SIDE = 2048  # of the two float32 matrices whose product is the ceiling
PRODUCTS = 5  # at a time


@dataclasses.dataclass
class Timer:
    """Seconds of a training step, and what a plain product reaches in the same process.

    Attributes:
      settings: what was asked for; part of the results.
      gflop: operations of a step / 1e9.
      run: runs one step, waits for its end and gives the loss.
      multiply: multiplies two float32 matrices of 2048x2048 and waits.
    """

    settings: dict
    gflop: float
    run: Callable[[], float]
    multiply: Callable[[], object]
    first: float = 0.0
    seconds: list[float] = dataclasses.field(default_factory=list)
    gflops: list[float] = dataclasses.field(default_factory=list)

    def warm_up(self) -> dict:
        """The first step, which compiles, makes moments and takes fresh memory."""
        done = self.step()
        self.first = self.seconds.pop()
        return done

    def step(self) -> dict:
        """One step: {"seconds", "loss"}."""
        start = time.perf_counter()
        loss = self.run()
        self.seconds.append(time.perf_counter() - start)
        return {"seconds": self.seconds[-1], "loss": loss}

    def ceiling(self) -> dict:
        """{"gflops"} of the plain product, median of a few."""
        self.multiply()
        found = []
        for _ in range(PRODUCTS):
            start = time.perf_counter()
            self.multiply()
            found.append(2 * SIDE**3 / 1e9 / (time.perf_counter() - start))
        self.gflops += found
        return {"gflops": statistics.median(found)}

    def result(self) -> dict:
        """All of it; `step_s` is the median of the steps after the warm-up, the ceiling that of all products.

        A step of seconds meets the machine's slow moments, a product of 70 ms often none: its best is given beside.
        """
        step_s, ceiling = statistics.median(self.seconds), statistics.median(self.gflops)
        return {
            **self.settings,
            "step_s": step_s,
            "step_s_all": self.seconds,
            "first_step_s": self.first,
            "gflop": self.gflop,
            "matmul_ceiling_gflops": ceiling,
            "matmul_best_gflops": max(self.gflops),
            "share_of_ceiling": self.gflop / step_s / ceiling,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def count(text: str) -> int:
    """The value of a flag that counts something.  Raises argparse's error where it is not 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 1 or more")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every script here takes: how often, and how to answer."""
    parser.add_argument("--steps", type=count, default=2, help="timed steps, after the first")
    parser.add_argument("--json", action="store_true", help="print one line of JSON and nothing else")
    parser.add_argument("--worker", action="store_true", help="steps on demand: see benchmarks/timed_steps.py")


def answer(values: dict) -> None:
    """Writes one line of JSON."""
    print(json.dumps(values), flush=True)


def serve(timer: Timer) -> None:
    """Steps on demand, until "quit" or the end of the input."""
    timer.warm_up()
    answer(timer.step())
    timer.seconds.clear()  # the second step still takes fresh memory
    commands = {"step": timer.step, "ceiling": timer.ceiling, "quit": timer.result}
    for line in sys.stdin:
        answer(commands[line.strip()]())
        if line.strip() == "quit":
            return


def run(timer: Timer, steps: int, as_json: bool) -> None:
    """`steps` steps in a row between two measurements of the ceiling, and the results on stdout."""
    say = (lambda text: None) if as_json else (lambda text: print(text, flush=True))
    done = timer.warm_up()
    say(f"first step: {done['seconds']:.2f} s, loss {done['loss']:.4f}")
    timer.ceiling()
    for _ in range(steps):
        done = timer.step()
        say(f"step: {done['seconds']:.2f} s, loss {done['loss']:.4f}")
    timer.ceiling()
    result = timer.result()
    if as_json:
        return answer(result)
    say(
        f"{result['gflop']:.1f} GFLOP a step; median {result['step_s']:.2f} s: "
        f"{100 * result['share_of_ceiling']:.0f} % of the {result['matmul_ceiling_gflops']:.0f} GFLOP/s "
        f"of a product of {SIDE}x{SIDE} matrices"
    )
    say(f"peak memory of the process: {result['peak_rss_mib'] / 1024:.2f} GiB")


def main(timer: Timer, args: argparse.Namespace) -> None:
    """Runs or serves, as asked."""
    if args.worker:
        return serve(timer)
    run(timer, args.steps, args.json)
