"""The optical flow of a stored clip in another light.

Stored flow was computed of the recording.  In less light there is less of it to see, and noise that moves: so it is
computed anew, of what a camera sees in that light, from one frame of the clip to the next.
"""

from collections.abc import Callable, Iterator, Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Int, UInt8

from lift_flax.video import optical_flow, scaling


def flow_in_light(
    see: Callable[[list[int]], UInt8[np.ndarray, "N h w 3"]],
    indices: Int[np.ndarray, "T"],
    count: int,
    *,
    size: tuple[int, int],
    stored_side: int,
    method: str,
) -> UInt8[np.ndarray, "T H W 2"]:
    """Computes coded flow (lift_flax/video/flow_codes.py) in pixels of the stored clip.

    Args:
      see: gives stored frames by their numbers, in that light.
      indices: the T frames whose flow is wanted.
      count: of the clip's frames, two at least.
      size: width and height of the result.
      stored_side: px, the short side of the frames that stored flow is computed of, at most.
      method: as in `optical_flow.flow_function`.

    Raises:
      UserError: OpenCV is not installed.
      VideoError: the frames are too small for optical flow.
    """
    wanted = sorted({int(index) for index in indices})
    starts = {min(index, count - 2) for index in wanted}
    numbers = sorted({number for start in starts for number in (start, start + 1)})
    pictures = dict(zip(numbers, see(numbers), strict=True))
    height, width = pictures[numbers[0]].shape[:2]
    stored, scaler = scaling.scaled_size(width, height, min(stored_side, width, height), multiple=2), VideoReformatter()

    def frames(chosen: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for number in chosen:
            yield number, av.VideoFrame.from_ndarray(pictures[number], format="rgb24")

    codes = optical_flow.codes(frames, wanted, count, stored, method)
    flow_of = {
        index: np.stack([scaling.picture(code[..., channel], size, scaler) for channel in (0, 1)], axis=-1)
        for index, code in zip(wanted, codes, strict=True)
    }
    return np.stack([flow_of[int(index)] for index in indices])
