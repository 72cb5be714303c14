"""Which frames of a video make a clip: index arithmetic only, on the host."""

import numpy as np
from jaxtyping import Int


def train_indices(num_frames: int, count: int, rng: np.random.Generator) -> Int[np.ndarray, "T"]:
    """One frame drawn from each of `count` equal segments of the video, in order.

    Shorter videos repeat frames: with fewer frames than segments a segment lies within one frame.
    """
    edges = np.linspace(0, num_frames, count + 1)
    drawn = rng.uniform(edges[:-1], edges[1:])
    return np.minimum(drawn.astype(np.int64), num_frames - 1)


def eval_indices(num_frames: int, count: int) -> Int[np.ndarray, "T"]:
    """The centre frame of each of `count` equal segments."""
    centres = (np.arange(count) + 0.5) * num_frames / count
    return np.minimum(centres.astype(np.int64), num_frames - 1)


def crop_origin(height: int, width: int, size: int, share_y: float, share_x: float) -> tuple[int, int]:
    """Upper left corner of a `size` square, `share` (0 to 1) of the way through the room there is on each axis."""
    return int((height - size) * share_y + 0.5), int((width - size) * share_x + 0.5)
