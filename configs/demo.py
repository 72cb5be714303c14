"""night_figures on a laptop CPU: eleven rendered actions in the dark, both phases, a few minutes.

    make demo

sets everything up, renders the clips, makes the records and trains.  The same by hand:

    lift-flax build night_figures --out runs/demo/records
    lift-flax train --config=demo --config.data.dir=runs/demo/records --workdir=runs/demo/workdir
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`; the preset is `tiny` unless another one is named."""
    return presets.get_config(arg, preset="tiny", dataset="night_figures")
