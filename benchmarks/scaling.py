"""How a training step's time, work and memory grow with what a user can choose, and what grows with devices and clips.

    python benchmarks/scaling.py                       # all lines, about twenty minutes on two cores
    python benchmarks/scaling.py --what=frames --json
    python benchmarks/scaling.py --what=devices        # three minutes
    python benchmarks/scaling.py --what=records        # three minutes, and room for 10,000 small clips

Every line is a process of its own.  frames, resolution, levels, batch (benchmarks/train_step.py): the paper's network
with the R(2+1)D at 112x112, 30 frames, eight levels and one clip, but for what the line changes.  devices
(benchmarks/scaling_devices.py): the tiny preset on fake devices.  records (benchmarks/scaling_records.py): the loader,
on records of few and of many clips (benchmarks/repeated_records.py).
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lift_flax import command_line
from lift_flax.errors import run_cli

HERE = Path(__file__).parent
BASE = {"size": 112, "frames": 30, "n": 8, "batch": 1}
GROWING = {  # what grows: (the flag of train_step.py, its values)
    "frames": ("frames", (8, 16, 32, 64)),
    "resolution": ("size", (64, 112, 160, 224)),
    "levels": ("n", (1, 2, 4, 8)),
    "batch": ("batch", (1, 2, 4)),
}
DEVICES = (1, 2, 4, 8)
CLIPS = (10, 100, 1000, 10_000)
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Table:
    """One kind of measurement.

    Attributes:
      heading: the line above.
      measure: runs the processes and yields the results of each.
      line: the results of one process as text.
    """

    heading: str
    measure: Callable[[], Iterator[dict]]
    line: Callable[[dict], str]


def last_line_of(script: str, *flags: str, **environment: str) -> dict:
    """The last line, JSON, of a script of this folder; where it fails, this process ends with its exit code."""
    command = [sys.executable, str(HERE / script), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def measure_steps(what: str) -> Iterator[dict]:
    """Steps of the paper's network, one thing growing."""
    flag, values = GROWING[what]
    for value in values:
        settings = {**BASE, flag: value}
        yield last_line_of("train_step.py", "--steps=2", "--json", *(f"--{n}={v}" for n, v in settings.items()))


def measure_devices() -> Iterator[dict]:
    """Steps on fake devices, parameters whole on each of them and spread over all."""
    for devices in DEVICES:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        for fsdp in sorted({1, devices}):
            yield last_line_of("scaling_devices.py", f"--fsdp={fsdp}", XLA_FLAGS=flags.strip(), JAX_PLATFORMS="cpu")


def measure_records() -> Iterator[dict]:
    """The loader on records of few and of many clips, which are removed in the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        last_line_of("repeated_records.py", f"--out={folder}", "--clips", *map(str, CLIPS))
        for clips in CLIPS:
            yield last_line_of("scaling_records.py", f"--records={folder}/{clips}")


def _line_of_step(what: str, m: dict) -> str:
    return (
        f"{what + ' ' + str(m[GROWING[what][0]]):20s} {m['step_s']:9.2f} {m['gflop']:8.0f} "
        f"{m['gflop'] / m['step_s']:8.0f} {100 * m['share_of_ceiling']:11.0f} % {m['peak_rss_mib']:9.0f}"
    )


def _line_of_devices(m: dict) -> str:
    names = ("state_bytes", "argument_bytes", "temporary_bytes", "needed_bytes")
    memory = " ".join(f"{m[name] / MIB:12.1f}" for name in names)
    return (
        f"{m['devices']:7d} {m['fsdp']:5d} {m['clips_of_a_device']:6d} {m['gflop_of_a_device']:7.2f} {memory} "
        f"{m['step_s']:8.3f} {m['first_loss']:11.4f}"
    )


def _line_of_records(m: dict) -> str:
    seconds = f"{m['open_s']:8.3f} {m['first_batch_s']:8.3f} {m['next_batches_s']:8.2f}"
    memory = f"{m['imports_mib']:8.0f} {m['peak_rss_mib']:9.0f} {m['growth_mib']:7.1f}"
    index = f"{m['index_bytes'] / MIB:9.2f} {m['index_bytes'] / m['clips']:9.0f}"
    return f"{m['clips']:7,d} {m['records_bytes'] / MIB:9.1f} {seconds} {memory} {index}"


_STEPS_HEADING = f"{'':20s} {'s a step':>9s} {'GFLOP':>8s} {'GFLOP/s':>8s} {'of a product':>13s} {'peak MiB':>9s}"
_DEVICES_HEADING = (
    "A step of the tiny preset, eight clips over all devices, which are fake and share this machine's cores: more of\n"
    "them make it no quicker.  GFLOP and MiB are of one device, as the compiler says.  fsdp is over how many devices\n"
    "parameters and moments are spread; kernels of less than 65,536 numbers are copied, and they are most of tiny's.\n"
    f"{'devices':>7s} {'fsdp':>5s} {'clips':>6s} {'GFLOP':>7s} {'state':>12s} {'arguments':>12s} {'temporaries':>12s} "
    f"{'needed':>12s} {'s a step':>8s} {'first loss':>11s}"
)
_RECORDS_HEADING = (
    "The loader of the tiny preset without its cache, on records of real encoded clips repeated under other names.\n"
    "Seconds from the finished imports on: to open the records, to the first batch of eight, for the next 20 batches.\n"
    "MiB of memory after the imports, at most, and by how much it grew over 200 batches once 221 had passed; index is\n"
    "what Python holds of the clips' names, labels and splits.\n"
    f"{'clips':>7s} {'disk MiB':>9s} {'open s':>8s} {'first s':>8s} {'20 s':>8s} {'imports':>8s} {'peak MiB':>9s} "
    f"{'growth':>7s} {'index MiB':>9s} {'B a clip':>9s}"
)


def tables() -> dict[str, Table]:
    """{what: its table}."""
    steps = {
        what: Table(_STEPS_HEADING, lambda what=what: measure_steps(what), lambda m, what=what: _line_of_step(what, m))
        for what in GROWING
    }
    devices = Table(_DEVICES_HEADING, measure_devices, _line_of_devices)
    return {**steps, "devices": devices, "records": Table(_RECORDS_HEADING, measure_records, _line_of_records)}


def main() -> None:
    """Prints the lines."""
    known = tables()
    parser = command_line.parser(__doc__, "python -m benchmarks.scaling")
    parser.add_argument("--what", choices=(*known, "all"), default="all")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each measurement")
    args = parser.parse_args()
    heading = ""
    for what in known if args.what == "all" else (args.what,):
        if known[what].heading != heading and not args.json:
            print(("\n" if heading else "") + known[what].heading, flush=True)
        heading = known[what].heading
        for m in known[what].measure():
            print(json.dumps({"what": what, **m}) if args.json else known[what].line(m), flush=True)


if __name__ == "__main__":
    run_cli(main)
