"""One live server for all tests that leave it as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_tools import LiveServer, live_server


@pytest.fixture(scope="session")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of the small run, for frames of visitors."""
    with live_server(run, tmp_path_factory.mktemp("server") / "log") as started:
        yield started
