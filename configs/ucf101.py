"""LIFT-Net on UCF101: 101 actions in clips from the web, optical flow in the luminous stream.

    lift-flax build ucf101 --videos DIR --lists DIR --flow --out RECORDS
    lift-flax train --config=ucf101 --config.data.dir=RECORDS --workdir=DIR
    lift-flax train --config=ucf101:luminous=gamma --config.data.dir=RECORDS --workdir=DIR     # records without flow

The network needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from random ones.
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, dataset="ucf101", **{"model.luminous.input": "flow"})
