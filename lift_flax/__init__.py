"""LIFT-Net in JAX and Flax: recognising human actions in dark, daylight and infrared video."""


def load(workdir, **options):
    """The predictor of a trained run: `lift_flax.load(workdir)(video)`; see lift_flax/predict/predictor.py."""
    from lift_flax.predict import (
        predictor,  # here: processes that read videos import this package, and must not start JAX
    )

    return predictor.load(workdir, **options)
