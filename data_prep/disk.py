"""How much disk a build takes, told before it starts."""

import math
import shutil
from pathlib import Path

from data_prep import staging
from data_prep.transcode import Encoding
from data_prep.video_list import Clip
from lift_flax.errors import UserError

# Bytes of a stored frame of short side 256, measured on nine real clips; x264 doubles every six steps of its factor.
_H264_AT_CRF_18, _JPEG, _FLOW = 6_100, 18_700, 9_000
_REENCODED = 3  # times the bytes of the source, where the number of frames is open


def estimate(clips: list[Clip], encoding: Encoding) -> int:
    """Bytes that the records of `clips` will take: an upper guess, since smaller and shorter sources take less."""
    source = sum(clip.path.stat().st_size for clip in clips if clip.path.exists())
    scale = (encoding.short_side / 256) ** 2
    frames = len(clips) * (encoding.max_frames or 0)
    flow = scale * _FLOW * frames if encoding.flow != "none" else 0
    if encoding.codec == "original":
        return int(source + (_REENCODED * source if encoding.flow != "none" else 0))
    if encoding.max_frames is None:
        return int(source * _REENCODED * (2 if encoding.flow != "none" else 1))
    frame = _JPEG if encoding.codec == "jpeg" else _H264_AT_CRF_18 * 2 ** ((18 - encoding.crf) / 6)
    return int(scale * frame * frames + flow)


def check_space(clips: list[Clip], encoding: Encoding, out: Path, staged: Path) -> str:
    """Says what a build needs.  Raises UserError where `out` has less room.

    Staged clips and records are both there at the end, so a build takes twice the bytes of its records.
    """
    records = estimate(clips, encoding)
    done, there = staging.bytes_staged(clips, staged, encoding)
    needed = 2 * records if not done else records + max(there, records) - there
    free = shutil.disk_usage(out).free
    told = f"{len(clips):,} clips: about {_gib(records)} of records, {_gib(needed)} on the way, {_gib(free)} free"
    if needed > free:
        raise UserError(
            f"{out} has too little room for {told}; choose another --out, or a smaller --size or --max-frames"
        )
    return told


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**28 else f"{math.ceil(count / 2**20)} MiB"
