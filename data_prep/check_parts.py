"""Decodes a clip as training does, before it is stored: what a build accepts shall stop no run."""

from av.video.reformatter import VideoReformatter

from lift_flax.video import decode, scaling
from lift_flax.video.decode import VideoError

from .transcode import Transcoded

_SHORT_SIDE = 112  # px, of the frames in most presets


def check_parts(clip: Transcoded, codec: str) -> None:
    """Decodes every part of a clip that was encoded here, in memory that does not grow with its length.

    The bytes of a source that is stored as it is ("original") were decoded whole by its inspection, which tried out
    every change of their colours.

    Raises:
      VideoError: a part does not decode to RGB, or has another number of frames.
    """
    for name, part in clip.parts.items():
        if name == "video" and codec == "original":
            continue
        count = _count_decoded(part, flow=name == "flow")
        if count != clip.num_frames:
            raise VideoError(f"cannot be stored: {count} of {clip.num_frames} frames decode again ({name})")


def _count_decoded(part: bytes | list[bytes], *, flow: bool) -> int:
    if isinstance(part, list):
        return sum(len(decode.decode_jpegs([picture], [0], _SHORT_SIDE)) for picture in part)
    if flow:
        return sum(1 for _ in decode.iter_frames(part))
    scaler = VideoReformatter()
    frames = (frame for _, frame in decode.iter_frames(part))
    sizes = ((frame, scaling.scaled_size(frame.width, frame.height, _SHORT_SIDE)) for frame in frames)
    return sum(1 for frame, size in sizes if scaling.rgb(frame, size, scaler).size)
