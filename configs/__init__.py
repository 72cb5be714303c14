"""One file for each experiment; lift_flax/config.py holds every field, lift_flax/presets.py the presets."""
