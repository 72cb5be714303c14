"""LIFT-Net on HMDB51: 51 actions in clips from films and the web, optical flow in the luminous stream.

    lift-flax build hmdb51 --videos DIR --lists DIR --flow --out RECORDS
    lift-flax train --config=hmdb51 --config.data.dir=RECORDS --workdir=DIR
    lift-flax train --config=hmdb51:luminous=gamma --config.data.dir=RECORDS --workdir=DIR     # records without flow

The network needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from random ones.
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, dataset="hmdb51", **{"model.luminous.input": "flow"})
