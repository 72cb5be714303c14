"""The brightness of RGB pixels, and Gamma Intensity Correction, which raises it (paper section III-B).

The correction agrees with DarkLight's public code: a table of 256 truncated levels, applied to 8-bit frames before any
resizing.
"""

import numpy as np
from jaxtyping import UInt8

LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B (ITU-R BT.601)


def gamma_table(gamma: float) -> UInt8[np.ndarray, "256"]:
    """LUT[i] = trunc(255 * (i/255)^(1/gamma)); above 1 lifts the shadows, 1 is the identity."""
    levels = np.arange(256) / 255
    return np.trunc(np.round(255 * levels ** (1 / gamma), 9)).astype(np.uint8)
