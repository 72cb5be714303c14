"""What a command loads before it does anything."""

import json
import resource
import subprocess
import sys

import pytest

from tests import ROOT

# what only a part of the program needs: pictures, pages, flow, other frameworks, tests
LATE = {
    "tensorflow", "torch", "matplotlib", "jinja2", "playwright", "tensorboardX", "onnxruntime", "scipy", "pyarrow",
}  # fmt: skip
PROGRAM = "import sys, json, lift_flax.{}; print(json.dumps([name for name in sys.modules if '.' not in name]))"
MOST_SECONDS = 8  # of a core; a third of that where nothing else runs


@pytest.mark.parametrize("command", ["main", "predict", "evaluate"])
def test_imports_are_few(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(command)], cwd=ROOT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not LATE & set(json.loads(ran.stdout))
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_SECONDS
