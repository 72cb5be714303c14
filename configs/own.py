"""LIFT-Net on your own clips, gamma-corrected frames in the luminous stream.

    lift-flax build folder --videos DIR --out RECORDS                  # DIR holds a folder of clips for each class
    lift-flax train --config=own:tiny --config.data.dir=RECORDS --workdir=DIR          # on a laptop
    lift-flax train --config=own --config.data.dir=RECORDS --workdir=DIR

`:tiny` starts from random weights; the last command needs pretrained ones (`model.pvit.init_from`) and accelerators.
Titles and results name the data set after DIR; `--config.dataset=NAME` names it otherwise.

To keep settings of your own, copy this file anywhere, change it, and give its path to --config:

    return presets.get_config(arg, preset="tiny", **{"train.batch_size": 4, "model.luminous.input": "flow"})
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg)
