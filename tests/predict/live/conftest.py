"""A video of two movements, for what is answered frame by frame."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import moving_bar
from tests.support.video_files import write_video


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Path:
    """Fourteen frames: a bar that moves right, then one that moves down."""
    frames = np.concatenate([moving_bar(0, 0, 7), 3 * moving_bar(1, 0, 7)])
    return write_video(tmp_path_factory.mktemp("streams") / "clip.mp4", frames)
