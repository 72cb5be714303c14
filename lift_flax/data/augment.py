"""`python -m lift_flax.data.augment`: an earlier name of `python -m lift_flax.augment`, kept for scripts."""

import runpy

if __name__ == "__main__":
    runpy.run_module("lift_flax.augment", run_name="__main__", alter_sys=True)
