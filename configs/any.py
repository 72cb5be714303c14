"""LIFT-Net for clips in any light: motion in both streams, exposures drawn anew, heads on both.

    lift-flax train --config=any:tiny --config.data.dir=DARK,DAY,INFRARED --workdir=DIR          # on a laptop
    lift-flax train --config=any --config.data.dir=RECORDS --workdir=DIR

Records in one light will do; several folders, with commas, train on all of them, and each is scored.  `:tiny` starts
from random weights; the last command needs pretrained ones (`model.pvit.init_from`) and accelerators.  docs/light.md
says what each setting does.
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, **presets.ANY_LIGHT)
