"""A folder of pictures as a video: one frame each, in the order of their numbers."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from lift_flax.predict.frames import ASSUMED_FPS
from lift_flax.video.clips import Video
from lift_flax.video.decode import VideoError
from lift_flax.video.paths import picture_folders_below, pictures_in, videos_below
from lift_flax.video.sampling import Timing

_SUBFILE_TYPE = 254  # tag of a TIFF whose lowest bit says that a page is a smaller copy of another
_GREY_16 = "I;16"  # Pillow's modes of 16-bit grey begin with it


def open_pictures(folder: Path, fps: float | None = None) -> Video:
    """Opens the pictures of a folder, and decodes all of them once to check them, as `open_file` does with frames.

    Args:
      fps: pictures a second.

    Raises:
      VideoError: there are fewer than two, of several sizes or kinds, or one cannot be read or holds several pages.
    """
    pictures = pictures_in(folder)
    if len(pictures) < 2:
        raise VideoError(_why_none(folder, pictures))
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


def _why_none(folder: Path, pictures: list[Path]) -> str:
    """What a folder is that holds fewer than two pictures.  Raises VideoError if the only one cannot be a frame."""
    videos, _ = videos_below(folder)
    if videos:
        count = "one video" if len(videos) == 1 else f"{len(videos):,} videos"
        return f"a folder that holds {count}: give the files themselves, several in Python to run.each(FILES)"
    if folders := picture_folders_below(folder):
        count = "a folder" if len(folders) == 1 else f"{len(folders):,} folders"
        return f"a folder that holds {count} of pictures: give those, several in Python to run.each(FOLDERS)"
    for picture in pictures:
        _read(picture)
    return f"a folder that holds {'one picture' if pictures else 'neither videos nor pictures'}"


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def _read(path: Path) -> tuple[UInt8[np.ndarray, "H W 3"], bool]:
    """(The picture upright, as RGB, whether it has 16 bits, of which these are the upper eight)."""
    try:
        with Image.open(path) as picture:
            pages = _pages(picture)
            upright = ImageOps.exif_transpose(picture)
            if pages == 1 and upright.mode.startswith(_GREY_16):
                grey = (np.asarray(upright) >> 8).astype(np.uint8)
                return np.stack([grey] * 3, axis=-1), True  # [H, W] -> [H, W, 3]
            if pages == 1 and upright.mode not in ("I", "F"):
                return np.array(upright.convert("RGB")), False
    except Exception as error:  # Pillow lets its readers raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise VideoError(f"{path.name} is damaged or no picture ({reason})") from error
    if pages > 1:
        raise VideoError(f"{path.name} holds {pages} pictures, and is one frame here: save each in a file of its own")
    raise VideoError(f"{path.name} has more than 16 bits a channel: save it with 8")


def _pages(picture: Image.Image) -> int:
    """Pictures in a file, as of a TIFF with pages or an animation, without the previews that cameras add."""
    count = getattr(picture, "n_frames", 1)
    if count == 1 or picture.format == "MPO":  # a JPEG of a phone with a preview or a map of its brightness
        return 1
    if isinstance(picture, TiffImageFile):
        previews = 0
        for page in range(1, count):
            picture.seek(page)
            previews += picture.tag_v2.get(_SUBFILE_TYPE, 0) & 1
        picture.seek(0)
        count -= previews
    return count
