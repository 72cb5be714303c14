"""Makes tests/golden/workdir_7a093b0 again: a finished run and its records, as commit 7a093b0 writes them.

Later code must open that run, so it is made by the code of 7a093b0 and by nothing newer.  From a clone of the project:

    git worktree add OLD 7a093b0 && cd OLD && python -m venv .venv && .venv/bin/pip install -e '.[prep]'
    PYTHONPATH=. .venv/bin/python PATH_OF_THIS_FILE --out=workdir_7a093b0

The folder then holds

    records/       fifteen clips of three classes, three of each to train on and two to test, with optical flow
    workdir/       the run of tests/small_config.py on them, with FIELDS; the newest checkpoint of the teacher and the
                   two newest of the student
    clip.mp4       one of the test clips, as a video
    expected/      what 7a093b0 answers: predict.json and explain.json of clip.mp4, evaluate.json of the test clips

In every text file the path of this folder is written as @FIXTURE@, for whoever copies it to fill in.  The report, the
TensorBoard files and the lock are left out: the first is written again by the tests, the others are read by nobody.

The networks have their full shapes, but most hidden channels are dead: the kernels into them and out of them are zero,
so all their gradients are zero too and they stay dead.  Zeros take no room in a checkpoint, and the fixture must be
small.  What is alive is drawn and trained as ever.  How the arrays are spread over files, and so their size, differs
by a tenth from one making to the next.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PLACEHOLDER = "@FIXTURE@"
CLASSES = ("down", "right", "still")
HIDDEN = 3  # living channels inside every (2+1)D convolution and MLP; inside an attention one of each head
WIDTH = 16  # living channels between the residual blocks of the first three stages
HEADS = 4  # of an attention in the levels; those of the ViT have half as many, so two channels of each live
# Beside those of small_config, so that it learns something.
FIELDS = {"train.teacher_epochs": 12, "train.student_epochs": 6, "train.learning_rate": 3e-3}
LEFT_OUT = ("lock", "report.html", "tensorboard")


def moving_bar(label: int, seed: int, num_frames: int = 8) -> np.ndarray:
    """uint8 [T,48,64,3]: a bar that moves down (label 0) or right (1), or a square at rest (2), in the dark, noisy."""
    frames = np.random.default_rng([label, seed]).normal(12, 3, (num_frames, 48, 64, 3))
    for t in range(num_frames):
        at = 2 + seed + 4 * t
        if label == 0:
            frames[t, at : at + 8] += 40
        elif label == 1:
            frames[t, :, at : at + 8] += 40
        else:
            frames[t, 20:28, 20 + seed : 28 + seed] += 40
    return frames.clip(0, 255).astype(np.uint8)


def make_records(root: Path) -> None:
    """Writes root/records and root/clip.mp4."""
    from tests.video_files import write_video

    videos = root / "videos"
    for label, name in enumerate(CLASSES):
        for seed in range(5):
            split = "train" if seed < 3 else "test"
            write_video(videos / split / name / f"g{seed}_{name}.mp4", moving_bar(label, seed), crf="20")
    arguments = ["folder", "--videos", videos, "--out", root / "records", "--group-regex", r"(g\d)_", "--flow"]
    call("data_prep.build", *arguments, "--workers", "1")
    shutil.move(videos / "test" / "right" / "g3_right.mp4", root / "clip.mp4")
    shutil.rmtree(videos)


def alive(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """bool of `shape`: whether a parameter of the teacher or the student is drawn; the others are dead."""
    mask = np.ones(shape, bool)
    *_, module, name = "", *path.split("/")
    if not name.startswith("kernel"):
        return mask
    if module in ("spatial", "fc1"):
        mask[..., HIDDEN:] = False
    elif module in ("temporal", "fc2"):
        mask[..., HIDDEN:, :] = False
    elif module in ("query", "key", "value"):
        mask[:, np.arange(shape[1]) % (shape[1] // HEADS) > 0] = False
    elif module == "out":
        mask[np.arange(shape[0]) % (shape[0] // HEADS) > 0] = False
    if path.startswith("layer") and module in ("spatial", "conv") and not path.startswith("layer4/0/conv2"):
        mask[..., WIDTH:, :] = False
    if path.startswith("layer") and module in ("temporal", "conv") and not path.startswith("layer4"):
        mask[..., WIDTH:] = False
    return mask


def with_dead_channels(make_phase):
    """`make_phase`, whose network starts with most hidden channels dead."""
    import jax.numpy as jnp

    from lift_flax.state import flatten, unflatten

    def make(*arguments):
        phase = make_phase(*arguments)

        def draw():
            params, stats = phase.draw()
            params = {path: jnp.where(alive(path, value.shape), value, 0) for path, value in flatten(params).items()}
            if (patches := "main/pvit/patches/kernel") in params:  # the clips are grey: colours stay equal
                params[patches] = params[patches][:, :, :1].repeat(3, axis=2)
            return unflatten(params), stats

        return dataclasses.replace(phase, draw=draw)

    return make


def make_run(root: Path) -> None:
    """Trains teacher and student into root/workdir."""
    from lift_flax import train
    from tests.small_config import small_config

    train.teacher_phase = with_dead_channels(train.teacher_phase)
    train.student_phase = with_dead_channels(train.student_phase)
    train.run(small_config(records=root / "records", **FIELDS), root / "workdir")


def make_expected(root: Path) -> None:
    """Writes root/expected with the answers of the command line."""
    workdir, clip, expected = f"--workdir={root / 'workdir'}", root / "clip.mp4", root / "expected"
    expected.mkdir()
    answer = json.loads(call("lift_flax.predict", workdir, clip, "--json"))
    answer = {name: answer[name] for name in ("label", "probability", "probabilities", "notes")}  # no path, no times
    (expected / "predict.json").write_text(json.dumps(answer, indent=2) + "\n")
    call("lift_flax.evaluate", workdir, f"--out={expected / 'evaluate.json'}")
    call("lift_flax.explain", workdir, clip, f"--out={expected / 'explained'}")
    shutil.move(expected / "explained" / "clip" / "explain.json", expected)
    shutil.rmtree(expected / "explained")


def call(module: str, *arguments) -> str:
    """Runs a command of the project and returns what it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def fill_placeholder(root: Path) -> list[Path]:
    """Writes the placeholder where the path of `root` stands; returns the files that held it."""
    changed = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if str(root).encode() in content:
            path.write_text(content.decode().replace(str(root), PLACEHOLDER))
            changed.append(path.relative_to(root))
    return changed


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "fixture"
        make_records(root)
        make_run(root)
        make_expected(root)
        oldest = min((root / "workdir" / "teacher").glob("[0-9]*"), key=lambda step: int(step.name))
        shutil.rmtree(oldest)  # the teacher is finished: its newest checkpoint will do
        for name in LEFT_OUT:
            path = root / "workdir" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        print(json.dumps({"placeholder in": list(map(str, fill_placeholder(root)))}, indent=2))
        shutil.copytree(root, args.out)
    sizes = [os.path.getsize(path) for path in args.out.rglob("*") if path.is_file()]
    print(f"{len(sizes)} files, {sum(sizes):,} bytes")


if __name__ == "__main__":
    main()
