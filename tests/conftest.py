"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips and official lists; the tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("LIFT_FLAX_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set LIFT_FLAX_REAL_DATA")
    return folder
