"""night_figures on a laptop CPU: eleven rendered actions in the dark, both phases, a few minutes.

    make demo

does the set-up, renders the clips, makes the records and then runs

    python -m lift_flax.main --config=configs/demo.py --config.data.dir=runs/demo/records --workdir=runs/demo/workdir
"""

from configs import common


def get_config(arg: str | None = None):
    """See configs/common.py for `arg`; the preset is `tiny` unless another one is named."""
    return common.get_config(arg, preset="tiny", dataset="night_figures")
