"""LIFT-Net on your own clips.

    lift-flax build folder --videos DIR --out RECORDS                  # DIR holds a folder of clips for each class
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --workdir=DIR          # on a laptop
    lift-flax train --config=own --config.data.dir=RECORDS --workdir=DIR

`:tiny` starts from random weights and is for few clips: it trains for a number of steps, whatever their number, and
chooses what the R(2+1)D sees, how frames are taken and what is kept in memory from what `build` measured.  It prints
each choice with its reason; any field that is "auto" can be set, and any of `--help`'s that take auto can be set to it.
The last command needs pretrained weights (`model.pvit.init_from`) and accelerators; it takes gamma-corrected frames.
Titles and results name the data set after DIR; `--config.dataset=NAME` names it otherwise.

To keep settings of your own, copy this file anywhere, change it, and give its path to --config:

    return presets.get_config(arg, preset="tiny", **{"train.batch_size": 4, "model.luminous.input": "flow"})
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, own={"tiny": presets.PRESETS["tiny"] | presets.FEW_CLIPS})
