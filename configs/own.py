"""LIFT-Net on your own clips.

    lift-flax build folder --videos DIR --out RECORDS                  # DIR holds a folder of clips for each class
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --workdir=DIR          # on a laptop
    lift-flax train --config=own --config.data.dir=RECORDS --workdir=DIR

`:tiny` starts from random weights and is for few clips: it trains for 1000 and 300 steps or more, however few there
are.  What the R(2+1)D sees, how frames are taken and what is kept in memory are "auto": chosen by what `build`
measured, each with a line that says why.  A value of your own replaces any of them (docs/training.md).
The last command needs pretrained weights (`model.pvit.init_from`) and accelerators; it takes gamma-corrected frames.
Titles and results name the data set after DIR; `--config.dataset=NAME` names it otherwise.

To keep settings of your own, copy this file anywhere, change it, and give its path to --config:

    return presets.get_config(arg, preset="tiny", **{"train.batch_size": 4, "model.luminous.input": "flow"})
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, own={"tiny": presets.PRESETS["tiny"] | presets.FEW_CLIPS})
