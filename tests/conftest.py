"""Fixtures that several test files share."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_prep import build
from tests.support.small_config import small_config
from tests.support.video_files import write_video

# The programs are many and small: they take longer to compile than to run.  Tests that read compiled programs take the
# compiler as it is, by AS_TRAINED.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips and official lists; the tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("LIFT_FLAX_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set LIFT_FLAX_REAL_DATA")
    return folder


def moving_bar(label: int, seed: int, num_frames: int) -> np.ndarray:
    """uint8 [T,48,64,3]: a bar that moves right (label 0), down (1) or not at all (2), with noise, in the dark."""
    rng = np.random.default_rng([label, seed])
    frames = rng.normal(12, 3, (num_frames, 48, 64, 3))
    for t in range(num_frames):
        at = 4 + int(36 * t / max(num_frames - 1, 1))
        if label == 0:
            frames[t, :, at : at + 8] += 40
        elif label == 1:
            frames[t, at : at + 8] += 40
        else:
            frames[t, 20:28, 20:28] += 40
    return frames.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of 24 small real videos in three classes, 18 to train on and 6 to test; one has two frames."""
    root = tmp_path_factory.mktemp("small")
    for label, name in enumerate(("right", "down", "still")):
        for index in range(8):
            split = "train" if index < 6 else "test"
            num_frames = 2 if (label, index) == (2, 7) else 6 + 3 * index
            write_video(
                root / "videos" / split / name / f"g{index // 2}_{index}.mp4", moving_bar(label, index, num_frames)
            )
    arguments = [
        "folder",
        "--videos",
        str(root / "videos"),
        "--out",
        str(root / "records"),
        "--group-regex",
        r"(g\d)_",
        "--flow",
    ]
    build.main([*arguments, "--workers", "1"])
    return root / "records"


@pytest.fixture(scope="session")
def run(records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a finished run of support/small_config.py on `records`; whoever changes it changes a copy."""
    from lift_flax.train import run as train

    workdir = tmp_path_factory.mktemp("trained") / "workdir"
    train.train_and_test(small_config(records=records), workdir)
    return workdir


@pytest.fixture(scope="session")
def tiny_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Extension -> three different encoded videos of 32x32 pixels with 2, 3 and 4 frames."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 60, (num_frames, 32, 32, 3), np.uint8) for num_frames in (2, 3, 4)]
    return {
        suffix: [write_video(root / f"{len(clip)}{suffix}", clip, bf="0") for clip in clips]
        for suffix in (".avi", ".mp4")
    }
