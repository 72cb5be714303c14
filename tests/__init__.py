"""Tests mirror the packages; golden files lie beside the script that made them."""

import atexit
import os
import shutil
import tempfile

# One compilation cache for all workers and their subprocesses: most runs here compile the same programs.  Here, because
# JAX reads this where it is imported, which the imports of conftest.py do.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _CACHE = tempfile.mkdtemp(prefix="lift_flax_tests_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
