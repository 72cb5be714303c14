"""Builds without worker processes, for tests that are not about them."""

import pytest

from lift_flax.video.decode import VideoError
from lift_flax.video.guarded import pool


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `pool.run_each` run everything here: nothing of these tests hangs or crashes."""

    def run_each(function, tasks, *, workers, time_limit):
        del workers, time_limit
        for key, arguments in tasks.items():
            try:
                result = function(*arguments)
            except VideoError as error:
                result = error
            yield key, result

    monkeypatch.setattr(pool, "run_each", run_each)
