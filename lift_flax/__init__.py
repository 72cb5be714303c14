"""LIFT-Net in JAX and Flax: recognising human actions in dark, daylight and infrared video."""
