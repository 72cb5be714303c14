"""LIFT-Net on UCF101: 101 actions in clips from the web, optical flow in the luminous pathway.

    python -m data_prep.build ucf101 --videos DIR --lists DIR --flow --out RECORDS
    python -m lift_flax.main --config=configs/ucf101.py --config.data.dir=RECORDS --workdir=DIR
    python -m lift_flax.main --config=configs/ucf101.py:luminous=gamma --config.data.dir=RECORDS --workdir=DIR

The network needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from nothing.
`luminous=gamma` needs no flow in the records.
"""

from configs import common


def get_config(arg: str | None = None):
    """See configs/common.py for `arg`."""
    return common.get_config(arg, dataset="ucf101", **{"model.luminous.input": "flow"})
