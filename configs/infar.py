"""LIFT-Net on InfAR: twelve actions filmed in infrared, optical flow in the luminous stream.

    lift-flax build infar --videos DIR --flow --out RECORDS
    lift-flax train --config=infar --config.data.dir=RECORDS --workdir=DIR
    lift-flax train --config=infar:luminous=gamma --config.data.dir=RECORDS --workdir=DIR     # records without flow

The network needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from random ones.
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`."""
    return presets.get_config(arg, dataset="infar", **{"model.luminous.input": "flow"})
