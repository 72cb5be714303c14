"""LIFT-Net on HMDB51: 51 actions in clips from films and the web, optical flow in the luminous pathway.

    python -m data_prep.build hmdb51 --videos DIR --lists DIR --flow --out RECORDS
    python -m lift_flax.main --config=configs/hmdb51.py --config.data.dir=RECORDS --workdir=DIR
    python -m lift_flax.main --config=configs/hmdb51.py:luminous=gamma --config.data.dir=RECORDS --workdir=DIR

The network needs pretrained weights (`model.pvit.init_from`) and accelerators; `:tiny` starts from nothing.
`luminous=gamma` needs no flow in the records.
"""

from configs import common


def get_config(arg: str | None = None):
    """See configs/common.py for `arg`."""
    return common.get_config(arg, dataset="hmdb51", **{"model.luminous.input": "flow"})
