"""An augmentation is three edits of code: a function, its fields, a stage.  Everything else follows."""

from lift_flax.augment import stages
from lift_flax.config import AUGMENTATIONS
from tests.support.edited_checkout import EditedCheckout

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
# What CONTRIBUTING.md promises of the new one: it is drawn, listed, switched off by `tiny`, named by the preview.
PROGRAM = """
import dataclasses
import jax, numpy as np
from lift_flax import fields, presets
from lift_flax.augment import preview, stages, streams
from lift_flax.config import AUGMENTATIONS, Augment, Config, from_dict

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
assert 0 < rows.sum() < 8
np.testing.assert_array_equal(turned[~rows], clips[~rows])
"""


def test_every_augmentation_belongs_to_one_stage():
    names = [name for stage in stages.STAGES for name in stage.texts]
    assert sorted(names) == sorted(AUGMENTATIONS)
    numbers = {stage.purpose: [*stage.texts] for stage in stages.STAGES}
    assert len(numbers) == len(stages.STAGES)
    published = {0: ["flip", "affine", "optical", "elastic"], 1: ["jitter"], 2: ["rain"], 3: ["cutmix"], 4: ["shuffle"]}
    assert {purpose: numbers[purpose] for purpose in published} == published  # others would change every run's draws


def test_a_new_augmentation_is_a_function_a_field_and_a_stage(tmp_path):
    copy = EditedCheckout(tmp_path)
    copy.add("lift_flax/augment/negative.py", NEGATIVE)
    field = "    negative: Probability = 0.5  # light for dark, and dark for light\n"
    copy.insert("lift_flax/config.py", "    shuffle: Probability", field)
    copy.insert(
        "lift_flax/augment/stages.py", "from lift_flax.augment import", "from lift_flax.augment import negative\n"
    )
    copy.insert("lift_flax/augment/stages.py", "STAGES = (", STAGE)
    copy.run(PROGRAM)
