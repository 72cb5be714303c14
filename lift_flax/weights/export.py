"""`python -m lift_flax.weights.export`: an earlier name of `python -m lift_flax.weights.to_torch`, kept for scripts."""

import runpy

if __name__ == "__main__":
    runpy.run_module("lift_flax.weights.to_torch", run_name="__main__", alter_sys=True)
