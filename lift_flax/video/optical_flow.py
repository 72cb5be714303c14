"""Optical flow between neighbouring native frames, as it is stored beside a clip.

The flow of a stored frame leads to the next frame of the source, however far apart stored frames are.  So it does not
depend on how clips are sampled.  The last frame of a source repeats the flow of the frame before it.

DIS (medium) is the default: it has less error than Farneback's method and takes less time.  Most two-stream papers used
TV-L1, which has a sixth less error and takes a hundred times as long.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float32, UInt8

from lift_flax.errors import UserError
from lift_flax.video.decode import VideoError
from lift_flax.video.flow_codes import encode

IterFrames = Callable[[Sequence[int]], Iterator[tuple[int, av.VideoFrame]]]  # decode.iter_frames of one source
FlowFunction = Callable[[UInt8[np.ndarray, "H W"], UInt8[np.ndarray, "H W"]], Float32[np.ndarray, "H W 2"]]


@functools.cache
def flow_function(method: Literal["dis", "tvl1"]) -> FlowFunction:
    """A function from two grey frames to the displacement (u right, v down) of each pixel of the first, in pixels.

    Raises:
      UserError: OpenCV, or its contributed module with TV-L1, is not installed.
    """
    install = "install it with `pip install -e '.[prep]'` in the project's folder"
    try:
        import cv2  # imported late because transcoding without flow needs no OpenCV
    except ImportError as error:
        raise UserError(f"optical flow needs OpenCV ({error}): {install}") from error
    cv2.setNumThreads(1)  # there is a process for each core already

    def guarded(create: Callable) -> FlowFunction:
        def flow(before, after):
            try:  # a new one for each pair: after a small pair DIS keeps other scales
                return create().calc(before, after, None)
            except cv2.error as error:
                raise VideoError(
                    f"too small or too narrow for optical flow: {before.shape[1]}x{before.shape[0]}"
                ) from error

        return flow

    if method == "dis":
        return guarded(lambda: cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    if not hasattr(cv2, "optflow"):
        raise UserError(f"TV-L1 flow needs OpenCV with its contributed modules: {install}")
    return guarded(cv2.optflow.DualTVL1OpticalFlow.create)


def codes(
    frames: IterFrames, indices: Sequence[int], num_frames: int, size: tuple[int, int], method: str
) -> Iterator[UInt8[np.ndarray, "h w 2"]]:
    """Yields the coded flow (lift_flax/video/flow_codes.py) of each frame in `indices`, in pixels of the stored size.

    Args:
      frames: gives the frames of a video.
      indices: native indices, rising.
      num_frames: of the video, two at least.
      size: width and height that frames are scaled to first.
      method: as in `flow_function`.

    Raises:
      UserError: OpenCV is not installed.
      VideoError: the frames are too small for optical flow, or break off.
    """
    calculate = flow_function(method)
    starts = [min(index, num_frames - 2) for index in indices]
    needed = sorted({index for start in starts for index in (start, start + 1)})
    grey: dict[int, np.ndarray] = {}
    pictures = _grey_frames(frames, needed, size)
    last: tuple[int, np.ndarray] | None = None
    for start in starts:
        if last is None or last[0] != start:
            while start + 1 not in grey:
                index, picture = next(pictures)
                grey[index] = picture
            last = (start, encode(calculate(grey[start], grey[start + 1])))
            grey = {index: picture for index, picture in grey.items() if index > start}
        yield last[1]


def _grey_frames(
    frames: IterFrames, indices: Sequence[int], size: tuple[int, int]
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w"]]]:
    reformatter = VideoReformatter()
    for index, frame in frames(indices):
        yield index, _grey(frame, size, reformatter)


def _grey(frame: av.VideoFrame, size: tuple[int, int], scaler: VideoReformatter) -> UInt8[np.ndarray, "h w"]:
    grey = scaler.reformat(frame, *size, format="gray", interpolation="AREA", threads=1)
    return np.ascontiguousarray(grey.to_ndarray())  # OpenCV needs rows without gaps


class LiveCodes:
    """Coded flow between frames that come one at a time; the same numbers as `codes`.

    Args:
      size: width and height that frames are scaled to first.
      method: as in `flow_function`.

    Raises:
      UserError: OpenCV is not installed.
    """

    def __init__(self, size: tuple[int, int], method: str):
        self._size, self._calculate, self._scaler = size, flow_function(method), VideoReformatter()
        self._before: UInt8[np.ndarray, "h w"] | None = None

    def __call__(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 2"] | None:
        """The flow from the previous frame to this one; None for the first frame.

        Raises:
          VideoError: the frames are too small for optical flow.
        """
        grey = _grey(frame, self._size, self._scaler)
        coded = None if self._before is None else encode(self._calculate(self._before, grey))
        self._before = grey  # only after a success: a frame that fails is left out
        return coded
