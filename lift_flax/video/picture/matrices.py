"""Colour matrices that swscale does not know: undone here, read as a near one, or named as the reason to refuse.

Numbers are those of ITU-T H.273, as files bear them.
"""

import av
import numpy as np
from av.video.reformatter import ColorRange
from jaxtyping import UInt8

_RGB, _UNSPECIFIED, _YCGCO, _LAST = 0, 2, 8, 17
_KNOWN = frozenset({_RGB, 1, _UNSPECIFIED, 4, 5, 6, 7, 9})  # to swscale
_NAMES = {
    _YCGCO: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from the primaries",
    13: "derived from the primaries with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_NEAR = {10: 9}  # without constant luminance
_DERIVED = frozenset({12, 13})
_OF_PRIMARIES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9}


def convertible(frame: av.VideoFrame) -> av.VideoFrame | None:
    """The frame with a colour matrix that swscale knows; None if its matrix has no like.

    The frame itself, perhaps with another matrix in its header, or one of RGB.
    """
    matrix = frame.colorspace
    if matrix in _KNOWN:
        return frame
    if matrix == _YCGCO and not _colourless(frame):
        return _undo_ycgco(frame)
    near = _near(frame)
    if near is None:
        return None
    frame.colorspace = near
    return frame


def note(frame: av.VideoFrame) -> str:
    """What is done with the colours of a frame that `convertible` takes; empty for those that any reader knows."""
    matrix = frame.colorspace
    if matrix in _KNOWN or _colourless(frame):
        return ""
    if matrix == _YCGCO:
        return "rare colour matrix: YCgCo, undone"
    return f"rare colour matrix: {name(frame)}, read as the nearest that is usual"


def name(frame: av.VideoFrame) -> str:
    """What people call the colour matrix of a frame."""
    return _NAMES.get(int(frame.colorspace), f"number {int(frame.colorspace)}")


def _colourless(frame: av.VideoFrame) -> bool:
    """Whether no matrix is needed: the frame is grey, or RGB."""
    return frame.format.is_rgb or sum(not component.is_alpha for component in frame.format.components) == 1


def _near(frame: av.VideoFrame) -> int | None:
    matrix = int(frame.colorspace)
    if _colourless(frame) or matrix not in _NAMES:  # reserved numbers mean nothing
        return _UNSPECIFIED
    if matrix in _DERIVED:
        return _OF_PRIMARIES.get(int(frame.color_primaries), 1)
    return _NEAR.get(matrix)


def _undo_ycgco(frame: av.VideoFrame) -> av.VideoFrame:
    """RGB of a frame of luma, green chroma and orange chroma.

    R = Y - Cg + Co, G = Y + Cg, B = Y - Cg - Co (ITU-T H.273, 8.3).
    """
    frame.colorspace = _UNSPECIFIED  # swscale shall only bring all planes to one size
    planes = np.asarray(frame.reformat(format="yuv444p", threads=1).to_ndarray(), np.float32)  # [3, H, W]
    frame.colorspace = _YCGCO
    black, luma, chroma = (0, 255, 255) if frame.color_range == ColorRange.JPEG else (16, 219, 224)
    y, green, orange = (planes[0] - black) / luma, (planes[1] - 128) / chroma, (planes[2] - 128) / chroma
    rgb = np.stack([y - green + orange, y + green, y - green - orange], axis=-1)  # [H, W, 3]
    pixels: UInt8[np.ndarray, "H W 3"] = np.clip(np.round(255 * rgb), 0, 255).astype(np.uint8)
    result = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    result.pts = frame.pts
    if frame.time_base is not None:
        result.time_base = frame.time_base
    return result
