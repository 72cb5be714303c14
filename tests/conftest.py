"""Fixtures that several test files share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from data_prep import build
from tests import ROOT
from tests.support.small_config import LIGHT, small_config
from tests.support.video_files import write_video

# With its macroblock tree or several threads x264 writes other bytes in some runs, and a test would see other clips.
REPRODUCIBLE = {"x264-params": "mbtree=0:threads=1"}


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[..., Path]:
    """`build_once(name, make)`: the folder that `make(folder)` fills, made by the first worker that asks for it."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent  # which all workers of this session share

    def build(name: str, make: Callable[[Path], object]) -> Path:
        folder = root / "shared" / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / "made").exists():
                make(folder)
                (folder / "made").touch()
        return folder

    return build


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips and official lists; the tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("LIFT_FLAX_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set LIFT_FLAX_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The ffmpeg program; the tests that need it are skipped where it is missing."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("no ffmpeg program is installed")
    return program


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
def records(build_once: Callable[..., Path]) -> Path:
    """Records of 24 small real videos in three classes, 18 to train on and 6 to test; one has two frames."""
    return build_once("small", _make_records) / "records"


def _make_records(root: Path) -> None:
    for label, name in enumerate(("right", "down", "still")):
        for index in range(8):
            split = "train" if index < 6 else "test"
            num_frames = 2 if (label, index) == (2, 7) else 6 + 3 * index
            path = root / "videos" / split / name / f"g{index // 2}_{index}.mp4"
            write_video(path, moving_bar(label, index, num_frames), **REPRODUCIBLE)
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


@pytest.fixture(scope="session")
def run(records: Path, build_once: Callable[..., Path]) -> Path:
    """The workdir of a finished run of support/small_config.py on `records`; whoever changes it changes a copy."""

    def train(folder: Path) -> None:
        from lift_flax.train.run import train_and_test

        train_and_test(small_config(records=records), folder / "workdir")

    return build_once("trained", train) / "workdir"


@pytest.fixture(scope="session")
def packed(run: Path, build_once: Callable[..., Path]) -> Path:
    """The folder of a package of `run`; whoever changes it changes a copy."""

    def write(folder: Path) -> None:
        from lift_flax.export.package import write_package
        from lift_flax.runs.trained import open_trained

        write_package(open_trained(run), folder / "package")

    return build_once("packed", write) / "package"


@pytest.fixture(scope="session")
def validated(records: Path, build_once: Callable[..., Path]) -> Path:
    """The workdir of a finished run with validation clips, which learns too fast to become better for long."""

    def train(folder: Path) -> None:
        from lift_flax.train.run import train_and_test

        fields = {"data.val_share": 0.34, "train.student_epochs": 30, "train.patience": 2, "train.best_by": "loss"}
        fields["train.learning_rate"] = 0.02
        train_and_test(small_config(records=records, **{**LIGHT, **fields}), folder / "workdir")

    return build_once("validated", train) / "workdir"


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
