"""A folder of pictures as a video: one frame each, in the order of their numbers."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from lift_flax.predict.frames import ASSUMED_FPS
from lift_flax.video.clips import Video
from lift_flax.video.decode import VideoError
from lift_flax.video.paths import pictures_in
from lift_flax.video.sampling import Timing

_GREY_16 = "I;16"  # Pillow's modes of 16-bit grey begin with it


def open_pictures(folder: Path, fps: float | None = None) -> Video:
    """Opens the pictures of a folder, and decodes all of them once to check them, as `open_file` does with frames.

    Args:
      fps: pictures a second.

    Raises:
      VideoError: there are fewer than two, of several sizes or kinds, or one cannot be read.
    """
    pictures = pictures_in(folder)
    if len(pictures) < 2:
        raise VideoError(f"a folder that holds {'one picture' if pictures else 'neither videos nor pictures'}")
    kinds = {_kind(path) for path in pictures}
    if len(kinds) > 1:
        raise VideoError(f"pictures of several kinds, {' and '.join(sorted(kinds))}: keep one kind in the folder")
    (height, width, _), deep = _read(pictures[0])[0].shape, False
    for path in pictures:
        pixels, of_16_bits = _read(path)
        deep = deep or of_16_bits
        if pixels.shape[:2] != (height, width):
            raise VideoError(
                f"{path.name} has {pixels.shape[1]}x{pixels.shape[0]} px and {pictures[0].name} has {width}x{height}: "
                "give pictures of one size"
            )

    def take(indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for index in sorted({int(i) for i in indices}):
            yield index, av.VideoFrame.from_ndarray(_read(pictures[index])[0], format="rgb24")

    notes = ["more than 8 bits: 16 a channel"] * deep
    notes += [] if fps else ["no frame rate given: its pictures are one clip"]
    return Video(Timing.even(len(pictures), fps or ASSUMED_FPS), width, height, tuple(notes), take)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def _read(path: Path) -> tuple[UInt8[np.ndarray, "H W 3"], bool]:
    """(The picture upright, as RGB, whether it has 16 bits, of which these are the upper eight)."""
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith(_GREY_16):
                grey = (np.asarray(upright) >> 8).astype(np.uint8)
                return np.stack([grey] * 3, axis=-1), True  # [H, W] -> [H, W, 3]
            if upright.mode not in ("I", "F"):
                return np.array(upright.convert("RGB")), False
    except Exception as error:  # Pillow lets its readers raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise VideoError(f"{path.name} is damaged or no picture ({reason})") from error
    raise VideoError(f"{path.name} has more than 16 bits a channel: save it with 8")
