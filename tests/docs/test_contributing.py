"""The edits of CONTRIBUTING.md, made in a copy of the project as a contributor makes them; everything else follows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests import ROOT

READER = """
from data_prep.sources.video_list import SourceClip, VideoList

def read(lists, videos):
    names = (lists / "toy.txt").read_text().split()
    clips = [SourceClip(videos / f"{name}.mp4", k % 2, name, "") for k, name in enumerate(names)]
    return VideoList(["left", "right"], clips, {"1": {"train": names[:2], "test": names[2:]}}, {"1": (2, 4)})
"""
CONFIG = """
from lift_flax import presets

def get_config(arg=None):
    return presets.get_config(arg, dataset="toy", **{"model.luminous.input": "flow"})
"""
DATA_SET = """
from absl import flags
from data_prep import build, sources
from data_prep.build_flags import parse_args
from lift_flax import config_flags, data_sets
from lift_flax.config_checks import from_dict

args = parse_args(["toy", "--videos=.", "--lists=.", "--out=records"])
assert (args.flow, args.crf) == ("dis", 21)
videos = sources.read(args, None)
assert [clip.label for clip in videos.clips] == [0, 1, 0, 1]
assert data_sets.different("toy", "arid")
printed = build._train_flags(args, videos)
assert printed == ["--config=toy:tiny", "--config.data.dir=records"]
values, arguments = flags.FlagValues(), config_flags.arguments_of(printed)  # as it was printed
config_flags.define_config(values, arguments)
config = from_dict(config_flags.parse(values, arguments))
assert (config.dataset, config.model.luminous.input, config.data.dir) == ("toy", "flow", "records")
"""
NEGATIVE = """
import jax
import jax.numpy as jnp


def negative(clip, key, ranges):
    return jnp.where(jax.random.bernoulli(key, ranges.negative), 255 - clip, clip)
"""
STAGE = """    Stage(
        purpose=5,
        texts={"negative": lambda r: "light for dark"},
        frames=by_row(negative.negative),
    ),
"""
# It is drawn, listed, switched off by `tiny`, named by the preview.
AUGMENTATION = """
import dataclasses
import jax, numpy as np
from lift_flax import fields, presets
from lift_flax.augment import preview, stages, streams
from lift_flax.config import AUGMENTATIONS, Augment, Config
from lift_flax.config_checks import from_dict

assert AUGMENTATIONS[-1] == "negative"
assert sorted(name for stage in stages.STAGES for name in stage.texts) == sorted(AUGMENTATIONS)
assert ("augment.negative", 0.5, "light for dark, and dark for light") in list(fields.meanings(Config))
config = from_dict(presets.get_config("tiny").to_dict())
assert {name for name in AUGMENTATIONS if getattr(config.augment, name)} == {"flip", "affine", "jitter"}
assert preview._texts(Augment())["negative"] == "probability 0.5\\nlight for dark"

clips = np.random.default_rng(0).integers(0, 256, (8, 2, 8, 8, 3)).astype(np.uint8)
alone = dataclasses.replace(Augment(), **dict.fromkeys(AUGMENTATIONS, 0.0) | {"negative": 0.5})
drawn = streams.draw_stages(jax.random.key(0), alone, clips.shape)
turned = np.asarray(streams.augment_frames(clips, drawn, alone))
rows = (turned == 255 - clips).all(axis=(1, 2, 3, 4))
print("turned:", rows.sum())
np.testing.assert_array_equal(turned[~rows], clips[~rows])
"""


class EditedCheckout:
    """A copy of the packages in `folder`."""

    def __init__(self, folder: Path):
        self.root = folder / "checkout"
        for package in ("configs", "data_prep", "lift_flax"):
            shutil.copytree(ROOT / package, self.root / package, ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, path: str, text: str) -> None:
        """Writes a new file."""
        assert not (self.root / path).exists()
        (self.root / path).write_text(text)

    def insert(self, path: str, after: str, text: str) -> None:
        """Inserts lines after the line that begins with `after`, of which there is one."""
        lines = (self.root / path).read_text().splitlines(keepends=True)
        (place,) = [number for number, line in enumerate(lines) if line.startswith(after)]
        (self.root / path).write_text("".join([*lines[: place + 1], text, *lines[place + 1 :]]))

    def run(self, program: str) -> str:
        """What a Python program prints that imports the copy; it must end well."""
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", program]
        ran = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def test_a_new_data_set_is_a_reader_a_line_and_a_config(tmp_path):
    copy = EditedCheckout(tmp_path)
    copy.add("data_prep/sources/toy.py", READER)
    line = '    "toy": DataSet("a toy", 2, True, "toy", lists="toy.txt", crf=21),\n'
    copy.insert("lift_flax/data_sets.py", "DATA_SETS = {", line)
    copy.add("configs/toy.py", CONFIG)
    (copy.root / "toy.txt").write_text("a b c d")
    printed = copy.run(DATA_SET)
    assert "fold 1 lists 2 train and 2 test clips; the official one has 2 and 4" in printed


def test_a_new_augmentation_is_a_function_a_field_and_a_stage(tmp_path):
    copy = EditedCheckout(tmp_path)
    copy.add("lift_flax/augment/negative.py", NEGATIVE)
    field = "    negative: Probability = 0.5  # light for dark, and dark for light\n"
    copy.insert("lift_flax/config.py", "    shuffle: Probability", field)
    copy.insert(
        "lift_flax/augment/stages.py", "from lift_flax.augment import", "from lift_flax.augment import negative\n"
    )
    copy.insert("lift_flax/augment/stages.py", "STAGES = (", STAGE)
    (turned,) = re.findall(r"turned: (\d+)", copy.run(AUGMENTATION))
    assert 0 < int(turned) < 8  # about half of the clips
