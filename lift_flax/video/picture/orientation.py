"""How players turn and mirror the frames of a file."""

import math
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type


def of(frame: av.VideoFrame) -> tuple[int, bool]:
    """(Quarter turns clockwise, whether a mirroring left to right comes before them) that players apply to a frame."""
    try:  # frame.side_data would keep every frame in a cycle
        found = SideDataContainer(frame)  # pyright: ignore[reportCallIssue]  # PyAV's stub lacks it
    except ValueError:  # other data of the frame that PyAV has no name for, as the EXIF of a camera's JPEGs
        return round(-frame.rotation / 90) % 4, False
    data = found.get(Type.DISPLAYMATRIX)
    if data is None:
        return 0, False
    # rows (a, b, u), (c, d, v), (x, y, w): x' = a x + c y, y' = b x + d y
    matrix = np.frombuffer(memoryview(data), np.int32)
    a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) % 4, mirrored


def turned(frame: av.VideoFrame, turns: int, mirrored: bool) -> av.VideoFrame:
    """The frame mirrored, then turned by quarters clockwise."""
    if max(component.bits for component in frame.format.components) > 8:
        format, (rows, columns) = "yuv444p16le", (0, 1)  # PyAV makes it [H, W, 3]
    else:
        format, (rows, columns) = "yuv444p", (1, 2)  # [3, H, W]
    planes = frame.reformat(format=format, threads=1)
    pixels: Any = planes.to_ndarray()
    moved = np.rot90(np.flip(pixels, columns) if mirrored else pixels, -turns, axes=(rows, columns))
    result = av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format=format)
    result.pts = frame.pts
    if frame.time_base is not None:
        result.time_base = frame.time_base
    result.colorspace, result.color_range = planes.colorspace, planes.color_range
    result.color_trc, result.color_primaries = planes.color_trc, planes.color_primaries
    return result
