"""What the loader takes of time and memory from the start to its 421st batch, on one folder of records.

    python benchmarks/scaling_records.py --records=DIR

Prints one line of JSON; benchmarks/scaling.py makes the table, for records of few and of many clips.  The tiny preset's
views in batches of eight, by threads of this process, without the cache that this preset keeps all clips in.
"""

import contextlib
import json
import os
import resource
import statistics
import time
import tracemalloc
from pathlib import Path

from lift_flax import command_line, presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.data.batches import train_batches
from lift_flax.data.records import open_records
from lift_flax.errors import run_cli

NEXT = 20  # batches timed after the first
SETTLE, WATCHED = 200, 200  # batches after these until the allocator has all that it keeps, and those watched then
ENDS = 50  # of the watched, at either end, whose mean counts: threads come and go, by a few MiB
MIB = 2**20


def read_config(folder: Path) -> Config:
    """The tiny preset on these records."""
    values = presets.get_config("tiny").unlock()
    values.update_from_flattened_dict({"data.dir": str(folder), "data.cache": "none"})
    return from_dict(values.to_dict())


def memory_mib() -> float:
    """What the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def index_bytes(config: Config) -> int:
    """Bytes of Python objects that opened records keep."""
    tracemalloc.start()
    opened = open_records(config.data.dir)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert opened.index
    return kept


def measure(config: Config) -> dict:
    """Seconds and memory, in the order of a run."""
    imports_mib = memory_mib()
    held = index_bytes(config)  # now, while no thread of the loader allocates; what it took is free again below
    start = time.perf_counter()
    opened = open_records(config.data.dir)
    ids = opened.split(config.data.fold, "train")
    open_s = time.perf_counter() - start
    start = time.perf_counter()
    with contextlib.closing(train_batches(opened, config, ids, seed=0, first_step=0)) as batches:
        next(batches)
        first_s = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(NEXT):
            next(batches)
        next_s = time.perf_counter() - start
        levels = []
        for _ in range(SETTLE + WATCHED):
            next(batches)
            levels.append(memory_mib())
    watched = levels[SETTLE:]
    return {
        "clips": len(ids),
        "records_bytes": sum(path.stat().st_size for path in opened.records.iterdir()),
        "open_s": open_s,
        "first_batch_s": first_s,
        "next_batches_s": next_s,
        "imports_mib": imports_mib,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "growth_mib": statistics.mean(watched[-ENDS:]) - statistics.mean(watched[:ENDS]),
        "index_bytes": held,
    }


def main() -> None:
    """Prints what was measured."""
    parser = command_line.parser(__doc__, "python -m benchmarks.scaling_records")
    parser.add_argument("--records", type=Path, required=True, help="a folder of records")
    print(json.dumps(measure(read_config(parser.parse_args().records))))


if __name__ == "__main__":
    run_cli(main)
