"""Estimates the disk space of a build before it starts."""

import dataclasses
import math
import shutil
from pathlib import Path

from lift_flax.errors import UserError
from lift_flax.video import decode
from lift_flax.video.decode import VideoError

from . import staging
from .sources.video_list import SourceClip
from .transcode import Encoding

# Bytes of a stored pixel, measured on nine real clips of short side 256; six steps of x264's factor double the size.
_PIXELS = 256 * 348
_H264_AT_CRF_18, _JPEG, _FLOW = 6_100 / _PIXELS, 18_700 / _PIXELS, 9_000 / _PIXELS
_SAMPLED = 25  # sources whose headers are read
_MARGIN = 1.3


@dataclasses.dataclass(frozen=True)
class _Header:
    """Length and size that a container claims."""

    frames: float
    width: int
    height: int


def estimate(clips: list[SourceClip], encoding: Encoding) -> int:
    """Estimates the bytes of the records of `clips` from the headers of some clips, with a margin."""
    source = sum(clip.path.stat().st_size for clip in clips if clip.path.exists())
    sample = [clips[k * len(clips) // _SAMPLED] for k in range(_SAMPLED)] if len(clips) > _SAMPLED else clips
    headers = [header for clip in sample if (header := _read_header(clip.path))]
    if not headers:
        return source
    stored = flow = 0.0
    for header in headers:
        short_side = min(header.width, header.height)
        pixels = header.width * header.height * min(1, encoding.short_side / short_side) ** 2
        frames = header.frames
        if encoding.codec != "original" and encoding.max_frames is not None:
            frames = min(frames, encoding.max_frames)
        pixel = _JPEG if encoding.codec == "jpeg" else _H264_AT_CRF_18 * 2 ** ((18 - encoding.crf) / 6)
        stored += frames * pixels * pixel
        flow += frames * pixels * _FLOW * (encoding.flow != "none")
    each = (0 if encoding.codec == "original" else stored) + flow
    whole = source if encoding.codec == "original" else 0
    return int(_MARGIN * (whole + each / len(headers) * len(clips)))


def check_space(clips: list[SourceClip], encoding: Encoding, out: Path, staged: Path) -> str:
    """Returns a line about the space that a build needs.

    At the end of a build the disk holds staged clips and records, so it takes twice the bytes of its records.

    Raises:
      UserError: `out` has less room.
    """
    records = estimate(clips, encoding)
    count, size = staging.bytes_staged(clips, staged, encoding)
    needed = records + max(size, records) - size if count else 2 * records
    free = shutil.disk_usage(out).free
    space = f"{len(clips):,} clips: about {_gib(records)} of records, {_gib(needed)} on the way, {_gib(free)} free"
    if needed > free:
        raise UserError(
            f"{out} has too little room for {space}; choose another --out, or a smaller --size or --max-frames"
        )
    return space


def _read_header(path: Path) -> _Header | None:
    """Reads a header; None if the file is not a video or does not give its length."""
    try:
        with decode.open_video(path) as stream:
            seconds = float(stream.duration * decode.time_base_of(stream)) if stream.duration else 0.0
            duration = decode.container_of(stream).duration
            if not seconds and duration:
                seconds = duration / 1e6
            frames = stream.frames or seconds * float(stream.average_rate or 25)
            if frames > 0 and stream.width and stream.height:
                return _Header(frames, stream.width, stream.height)
    except VideoError:
        pass
    return None


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**28 else f"{math.ceil(count / 2**20)} MiB"
