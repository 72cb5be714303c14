"""The brightness of RGB pixels, and Gamma Intensity Correction, which raises it (paper section III-B).

The correction agrees with DarkLight's public code: a table of 256 truncated levels, applied to 8-bit frames before any
resizing.  Its gamma is one for all clips, or each clip's own: of `GAMMAS` the one that brings the clip's mean luma
nearest to a target.  That is exact and cheap, as a corrected clip's mean luma is its histogram times the table.
"""

import functools

import numpy as np
from jaxtyping import Float, UInt8

LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B (ITU-R BT.601)


GAMMAS = 0.5 * 10 ** (np.arange(128) / 127)  # 0.5 to 5, in equal ratios


def gamma_table(gamma: float) -> UInt8[np.ndarray, "256"]:
    """LUT[i] = trunc(255 * (i/255)^(1/gamma)); above 1 lifts the shadows, 1 is the identity."""
    levels = np.arange(256) / 255
    return np.trunc(np.round(255 * levels ** (1 / gamma), 9)).astype(np.uint8)


@functools.cache
def gamma_tables() -> UInt8[np.ndarray, "128 256"]:
    """The table of each of `GAMMAS`."""
    return np.stack([gamma_table(gamma) for gamma in GAMMAS])


def luma_histogram(clip: UInt8[np.ndarray, "*dims 3"]) -> Float[np.ndarray, "256"]:
    """How much of a clip's luma each level gives: the shares of the levels in R, G and B, weighted by `LUMA`."""
    counts = [np.bincount(clip[..., channel].ravel(), minlength=256) for channel in range(3)]
    return np.tensordot(np.array(LUMA), np.stack(counts), 1) / (clip.size // 3)


def own_gamma(histogram: Float[np.ndarray, "256"], target: float) -> int:
    """The number of the table that brings a clip with this `luma_histogram` nearest to a mean luma of `target`."""
    return int(np.abs(gamma_tables() @ histogram - target).argmin())


def light(clip: UInt8[np.ndarray, "*dims 3"], gamma: float, target: float) -> UInt8[np.ndarray, "*dims 3"]:
    """Corrects a clip: by `gamma`, or where `target` is not 0 by the gamma that brings its mean luma there."""
    table = gamma_tables()[own_gamma(luma_histogram(clip), target)] if target else gamma_table(gamma)
    return table[clip]
