"""LIFT-Net on your own clips.

    lift-flax build folder --videos DIR --out RECORDS                  # DIR holds a folder of clips for each class
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --workdir=DIR          # on a laptop
    lift-flax train --config=own:vits --config.data.dir=RECORDS --config.model.pvit.init_from=VIT --workdir=DIR
    lift-flax train --config=own --config.data.dir=RECORDS --workdir=DIR

`:tiny` is for few clips: its networks are small, and it trains them for 1000 and 300 steps or more, however few there
are.  What the R(2+1)D sees, how frames are taken, what is kept in memory and where training begins (dark clips: at the
network that comes with lift_flax) are "auto": chosen by what `build` measured, each with a line that says why.  A value
of your own replaces any of them (docs/training.md).
`:vits` is the same with a pretrained, frozen ViT-S/14 beside it, whose outputs are computed once and kept beside the
records.  It sees every clip lit to one brightness, so dark clips suit it as well.  VIT is a folder that `lift-flax
weights convert` made of one, such as DINOv2's (docs/weights.md).
`:vitb` takes a ViT-B/14 and an R(2+1)D-18, for an accelerator; what it reaches was not measured.
The last command needs pretrained weights (`model.pvit.init_from`) and accelerators; it takes gamma-corrected frames.
Titles and results name the data set after DIR; `--config.dataset=NAME` names it otherwise.

To keep settings of your own, copy this file anywhere, change it, and give its path to --config:

    return presets.get_config(arg, preset="tiny", **{"train.batch_size": 4, "model.luminous.input": "flow"})
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    tiny = presets.PRESETS["tiny"] | presets.FEW_CLIPS
    own = {"tiny": tiny, "vits": tiny | presets.VIT_S, "vitb": tiny | presets.VIT_B}
    return presets.get_config(arg, own=own)
