"""night_figures on a laptop CPU: eleven rendered actions in the dark, by day and in infrared, a few minutes.

    make demo

sets everything up, renders the clips, makes the records and trains.  The same by hand:

    lift-flax build night_figures --light=dark --train-per-class=20 --codec=original --out runs/demo/dark
    lift-flax build night_figures --light=day --train-per-class=20 --codec=original --seed=1 --out runs/demo/day
    lift-flax build night_figures --light=infrared --train-per-class=20 --codec=original --seed=2 \
        --out runs/demo/infrared
    lift-flax train --config=demo --config.data.dir=runs/demo/dark,runs/demo/day,runs/demo/infrared \
        --workdir=runs/demo/workdir

It is `any:tiny` (configs/any.py) with a little more time for the teacher, and ends with the accuracy over brightness.
"""

from lift_flax import presets


def get_config(arg: str | None = None):
    """See lift_flax/presets.py for `arg`; the preset is `tiny` unless another one is named."""
    ours = {"train.teacher_epochs": 25, "log.light_curve": True}
    return presets.get_config(arg, preset="tiny", dataset="night_figures", **presets.ANY_LIGHT, **ours)
