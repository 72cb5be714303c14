"""LIFT-Net on InfAR: twelve actions filmed in infrared, optical flow in the luminous pathway.

    python -m data_prep.build infar --videos DIR --flow --out RECORDS
    python -m lift_flax.main --config=configs/infar.py --config.data.dir=RECORDS --workdir=DIR
    python -m lift_flax.main --config=configs/infar.py:luminous=gamma --config.data.dir=RECORDS --workdir=DIR

The network needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from nothing.
`luminous=gamma` needs no flow in the records.
"""

from configs import common


def get_config(arg: str | None = None):
    """See configs/common.py for `arg`."""
    return common.get_config(arg, dataset="infar", **{"model.luminous.input": "flow"})
