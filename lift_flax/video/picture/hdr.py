"""HDR to SDR: frames whose levels are PQ or HLG become what an SDR camera would have recorded.

Both curves are undone to light in cd/m2, as ITU-R BT.2100 defines it (HLG for a display of 1000 cd/m2).  Reference
white, 203 cd/m2 (ITU-R BT.2408), becomes 255, and so does all that is brighter.  swscale maps to the same levels, but
computes a table for 6 s before the first frame.
"""

import functools

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc
from jaxtyping import Float32, UInt8, UInt16

_CURVES = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
_WHITE, _PEAK = 203.0, 1000.0  # cd/m2: reference white, and the display that HLG is shown on
_GAMMA, _HLG_GAMMA = 2.4, 1.2  # of an SDR display (BT.1886), of the HLG display
_TO_709 = np.array(  # linear RGB of BT.2020 to that of BT.709 (ITU-R BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_STEPS = 4095  # of the table of SDR levels, over the square root of light


def curve(frame: av.VideoFrame) -> str:
    """PQ or HLG; empty for SDR."""
    return _CURVES.get(int(frame.color_trc), "")


def to_sdr(levels: UInt16[np.ndarray, "H W 3"], frame: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
    """Maps RGB levels of 16 bits, whose curve and primaries are those of `frame`, to SDR of BT.709."""
    light = _light(curve(frame))[levels]  # of BT.2020, 1 is reference white (PQ) or the peak of the scene (HLG)
    if curve(frame) == "HLG":
        luminance = np.maximum(light @ _LUMINANCE_2020, 1e-6)[..., None]
        light = light * luminance ** np.float32(_HLG_GAMMA - 1) * np.float32(_PEAK / _WHITE)
    if int(frame.color_primaries) in (int(ColorPrimaries.BT2020), int(ColorPrimaries.UNSPECIFIED)):
        light = light @ _TO_709.T
    return _sdr_levels()[(np.sqrt(np.clip(light, 0, 1)) * _STEPS + 0.5).astype(np.uint16)]


@functools.cache
def _light(curve: str) -> Float32[np.ndarray, "65536"]:
    """Light of each level."""
    level = np.arange(2**16) / (2**16 - 1)
    if curve == "PQ":
        root = level ** (1 / 78.84375)
        share = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return (10000 / _WHITE * share ** (1 / 0.1593017578125)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12).astype(np.float32)


@functools.cache
def _sdr_levels() -> UInt8[np.ndarray, "4096"]:
    """Levels of the square roots of light from 0 to 1."""
    light = (np.arange(_STEPS + 1) / _STEPS) ** 2
    return np.round(255 * light ** (1 / _GAMMA)).astype(np.uint8)
