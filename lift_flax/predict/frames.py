"""Frames that a program holds in memory, as a video: an array, or a list of frames of one size."""

from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np

from lift_flax.video.clips import Video
from lift_flax.video.decode import VideoError
from lift_flax.video.sampling import Timing

ASSUMED_FPS = 25.0  # where the rate is unknown; only the times of clips depend on it


def open_frames(given: Any, fps: float | None = None) -> Video:
    """Opens RGB frames, uint8 [T,H,W,3], or a list of [H,W,3]; of NumPy, JAX, PyTorch or what else becomes an array.

    Raises:
      VideoError: the frames are of another kind, differ in size, or are fewer than two; the message says what to give.
    """
    frames = _list_of_arrays(given) if isinstance(given, list | tuple) else _array(given)
    if len(frames) < 2:
        raise VideoError("only one frame" if len(frames) else "no frames")

    def take(indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for index in sorted({int(i) for i in indices}):
            yield index, av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[index]), format="rgb24")

    height, width = frames[0].shape[:2]
    return Video(Timing.even(len(frames), fps or ASSUMED_FPS), width, height, (), take)


def _array(given: Any) -> np.ndarray:
    """`given` as uint8 [T,H,W,3]."""
    frames = _as_numpy(given)
    _check(frames.dtype, frames.shape, "frames" if hasattr(given, "astype") else "np.asarray(frames)")
    return frames


def _list_of_arrays(given: Sequence[Any]) -> list[np.ndarray]:
    """`given` as arrays uint8 [H,W,3] of one size."""
    if not given:
        raise VideoError("no frames")
    if isinstance(given[0], str | bytes) or hasattr(given[0], "__fspath__"):
        raise VideoError("a list of files: each() takes several videos")
    frames = [_as_numpy(frame) for frame in given]
    if frames[0].ndim == 4:
        raise VideoError("a list of videos: each() takes several videos")
    for index, frame in enumerate(frames):
        if frame.shape != frames[0].shape and frame.ndim == frames[0].ndim == 3:
            sizes = ["{1}x{0}".format(*each.shape) for each in (frame, frames[0])]
            raise VideoError(f"frame {index} has {sizes[0]} px and frame 0 has {sizes[1]}: give frames of one size")
        _check(frame.dtype, (len(frames), *frame.shape), "np.stack(frames)")
    return frames


def _as_numpy(given: Any) -> np.ndarray:
    try:
        return np.asarray(given)
    except Exception as error:  # of any library: on a GPU, with a gradient, deleted
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise VideoError(f"its frames cannot be taken as a NumPy array ({reason})") from error


def _check(dtype: np.dtype, shape: tuple[int, ...], array: str) -> None:
    """Raises VideoError unless this is the kind of frames; `array` is how a program makes a NumPy array of its own."""
    if dtype == np.uint8 and len(shape) == 4 and shape[-1] == 3 and min(shape[1:3]) > 0:
        return
    advice = f"; give {_advice(dtype, shape, array)}".removesuffix("; give ")
    raise VideoError(f"{dtype} {list(shape)}: frames are uint8 RGB [T, H, W, 3]{advice}")


def _advice(dtype: np.dtype, shape: tuple[int, ...], array: str) -> str:
    """An expression for what was probably meant."""
    if dtype.kind == "f":
        return f"(255 * {array}).astype('uint8') of values from 0 to 1"
    if dtype != np.uint8:
        return f"{array}.astype('uint8') of values from 0 to 255" if dtype.kind in "iu" else ""
    if len(shape) == 5:
        return f"{array}[0]" if shape[0] == 1 else "each(frames) a batch of videos"
    if len(shape) == 4 and shape[-1] in (1, 4):
        return f"{array}[..., :3]" if shape[-1] == 4 else f"{array}.repeat(3, axis=-1)"
    if len(shape) == 4 and 3 in shape[:2]:
        return f"{array}.transpose({'0, 2, 3, 1' if shape[1] == 3 else '1, 2, 3, 0'})"
    if len(shape) == 3:
        return "two frames or more" if shape[-1] == 3 else f"{array}[..., None].repeat(3, axis=-1) of grey ones"
    return ""
