"""Which frames of a video make a clip, and which part of a frame: index arithmetic on the host."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int


def draws(num_frames: int, count: int, rng: np.random.Generator) -> Float[np.ndarray, "T"]:
    """A random place, 0 to `num_frames`, in each of `count` equal segments of a video, in order."""
    edges = np.linspace(0, num_frames, count + 1)
    return rng.uniform(edges[:-1], edges[1:])


def middles(num_frames: int, count: int, phase: float = 0.5) -> Float[np.ndarray, "T"]:
    """The place, 0 to `num_frames`, that is `phase` (0 to 1) of the way through each of `count` equal segments."""
    return (np.arange(count) + phase) * num_frames / count


def eval_indices(num_frames: int, count: int, phase: float = 0.5) -> Int[np.ndarray, "T"]:
    """Takes the frame `phase` (0 to 1) of the way through each of `count` equal segments, by default its centre.

    A video with fewer frames than segments repeats frames.  Frames whose times differ are sampled by
    `timing.Timing`.
    """
    return np.minimum(middles(num_frames, count, phase).astype(np.int64), num_frames - 1)


@dataclasses.dataclass(frozen=True)
class View:
    """A test-time crop of a clip, in time and space.

    Attributes:
      phase: which frame of each segment, 0 to 1.
      share: position of the crop along the longer side, 0 to 1.
    """

    phase: float = 0.5
    share: float = 0.5


CENTRE = View()


def view_grid(clips: int, crops: int) -> tuple[View, ...]:
    """Views at `clips` times and `crops` places each, places first; 1 by 1 is the centre.

    Views in time take other frames of the same segments, evenly spread, because training samples clips in this way.
    Crops are spread from end to end of the longer side.
    """
    phases = [(c + 0.5) / clips for c in range(clips)]
    shares = [0.5] if crops == 1 else np.linspace(0, 1, crops).tolist()
    return tuple(View(phase, share) for phase in phases for share in shares)


def crop_origin(height: int, width: int, size: int, share_y: float, share_x: float) -> tuple[int, int]:
    """Upper left corner of a square of `size` px, `share` (0 to 1) of the way through the free room on each axis."""
    return int((height - size) * share_y + 0.5), int((width - size) * share_x + 0.5)
