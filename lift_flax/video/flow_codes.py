"""Optical flow as bytes: how displacements in pixels are coded in records and batches.

The code of v is round(v * 127 / 20) + 128, with v clipped to +-20 px.  Zero motion is exactly 128, and the mirror image
of a code c is exactly 256 - c.  One step is 0.16 px.  Pixels are those of the stored clip: resizing a picture of codes
does not change their meaning.
"""

import numpy as np
from jaxtyping import Float, UInt8

FLOW_RANGE = 20.0  # px; longer displacements are clipped
ZERO = 128  # code of no motion
STEPS = 127  # codes from ZERO to FLOW_RANGE


def encode(flow: Float[np.ndarray, "*dims"]) -> UInt8[np.ndarray, "*dims"]:
    """Displacements in pixels to codes 1 to 255."""
    scaled = np.clip(flow, -FLOW_RANGE, FLOW_RANGE) * (STEPS / FLOW_RANGE)
    return (np.round(scaled) + ZERO).astype(np.uint8)


def shortened(codes: UInt8[np.ndarray, "*dims"], share: float) -> UInt8[np.ndarray, "*dims"]:
    """Codes of displacements that are `share` times as long, 0 to 1; at 1 they are `codes` themselves."""
    if share == 1:
        return codes
    return (np.round((codes.astype(np.float32) - ZERO) * np.float32(share)) + ZERO).astype(np.uint8)


def decode(codes: UInt8[np.ndarray, "*dims"]) -> Float[np.ndarray, "*dims"]:
    """Codes to displacements in pixels, float32."""
    return (codes.astype(np.float32) - ZERO) * np.float32(FLOW_RANGE / STEPS)
