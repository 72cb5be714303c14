"""The frames of a stored clip in another light, and the optical flow that is seen there.

Stored flow was computed of the recording.  In less light there is less of it to see, and noise that moves: so it is
computed anew, from one stored frame to the next.
"""

from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Int, UInt8

from lift_flax.video import optical_flow, scaling
from lift_flax.video.clips import Parts


def relit_parts(
    lit: UInt8[np.ndarray, "N h w 3"], indices: Int[np.ndarray, "T"], short_side: int, stored_side: int, method: str
) -> Parts:
    """Makes the parts of a clip of frames that were given another light.

    Args:
      lit: all frames of the clip as they are stored, in that light.
      indices: the T frames that are taken.
      short_side: px, of the result.
      stored_side: px, the short side of the frames that stored flow is computed of, at most.
      method: of the flow, as in `optical_flow.flow_function`.

    Returns:
      "clip" uint8 [T,H,W,3] and "flow" uint8 [T,H,W,2], in pixels of the stored clip.

    Raises:
      UserError: OpenCV is not installed.
      VideoError: the frames are too small for optical flow.
    """
    height, width = lit.shape[1:3]
    size, scaler = scaling.scaled_size(width, height, short_side), VideoReformatter()

    def frames(chosen: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for index in chosen:
            yield index, av.VideoFrame.from_ndarray(lit[index], format="rgb24")

    wanted = sorted({int(index) for index in indices})
    stored = scaling.scaled_size(width, height, min(stored_side, width, height), multiple=2)
    codes = optical_flow.codes(frames, wanted, len(lit), stored, method)
    flow_of = {
        index: np.stack([scaling.picture(code[..., channel], size, scaler) for channel in (0, 1)], axis=-1)
        for index, code in zip(wanted, codes, strict=True)
    }
    return {
        "clip": np.stack([scaling.picture(lit[index], size, scaler) for index in indices]),
        "flow": np.stack([flow_of[int(index)] for index in indices]),
    }
