"""The packages to install; all else stands in setup.cfg.

configs/ and data_prep/ lie beside lift_flax/ in a checkout and are installed inside it, so that they hide no other
package of these names.
"""

from setuptools import find_packages, setup

INSIDE = ("configs", "data_prep")
setup(
    packages=[
        *find_packages(include=["lift_flax", "lift_flax.*"]),
        *(f"lift_flax.{name}" for top in INSIDE for name in find_packages(include=[top, f"{top}.*"])),
    ],
    package_dir={f"lift_flax.{top}": top for top in INSIDE},
)
