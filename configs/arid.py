"""LIFT-Net on ARID: eleven actions filmed in the dark, gamma-corrected frames in the luminous pathway.

    python -m data_prep.build arid --videos DIR --lists DIR --out RECORDS
    python -m lift_flax.main --config=configs/arid.py --config.data.dir=RECORDS --workdir=DIR
    python -m lift_flax.main --config=configs/arid.py:tiny --config.data.dir=RECORDS --workdir=DIR   # on a laptop

The first needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from nothing.
"""

from configs import common


def get_config(arg: str | None = None):
    """See configs/common.py for `arg`."""
    return common.get_config(arg, dataset="arid")
