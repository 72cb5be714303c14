"""LIFT-Net on ARID: eleven actions filmed in the dark, gamma-corrected frames in the luminous stream.

    lift-flax build arid --videos DIR --lists DIR --out RECORDS
    lift-flax train --config=arid --config.data.dir=RECORDS --workdir=DIR
    lift-flax train --config=arid:tiny --config.data.dir=RECORDS --workdir=DIR     # on a laptop

The first training command needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from
random ones.
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, dataset="arid")
