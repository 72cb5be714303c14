"""Tests mirror the rooms of the packages; golden files lie beside the script that made them.

The environment of every test and of every process that a test starts is set here, because JAX reads it where it is
imported, which the imports of conftest.py do.
"""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the checkout

# One compilation cache for all workers, their child processes and later runs: most tests compile the same programs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# The programs are many and small: they take longer to compile than to run.  Tests that read compiled programs take the
# compiler as it is (`support.run_tools.environment`); so does `make parity`, whose networks are of the paper's size.
QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
if os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "0":
    os.environ["XLA_FLAGS"] = f"{QUICK} {os.environ.get('XLA_FLAGS', '')}".strip()
