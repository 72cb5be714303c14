"""`python -m lift_flax.augment --preview=FILE.png` draws what each augmentation does to clips."""

from lift_flax import errors
from lift_flax.augment import preview

if __name__ == "__main__":
    errors.run_cli(preview.main)
