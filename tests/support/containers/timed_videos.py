"""Videos whose frames are shown at given times, in every container that people use, as its usual writers make them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECONDS = ("mkv", "webm", "flv")  # containers that round times to these
CONTAINERS = ("mp4", *MILLISECONDS, "avi", "ts")
_CODECS = {"webm": "libvpx", "avi": "mpeg4", "flv": "flv"}  # libx264 in the others


def write_timed(
    folder: Path,
    container: str,
    times: Sequence[Fraction],
    rate: Fraction = Fraction(30),
    frames: np.ndarray | None = None,
    name: str = "timed",
) -> Path:
    """Writes frames that are shown at `times` in seconds.

    An AVI knows no times: like a recorder that drops frames, this writes an empty packet for every frame of `rate`
    that is missing.

    Args:
      folder: where to write.
      container: suffix of the file.
      times: of each frame, rising; in an AVI, multiples of 1 / rate.
      rate: frames per second that the file names.
      frames: uint8 [T,H,W,3]; by default each is grey, of another level than its neighbours.
      name: of the file, without suffix.
    """
    path, codec = folder / f"{name}.{container}", _CODECS.get(container, "libx264")
    if frames is None:
        levels = (np.arange(len(times)) * 37 % 250).astype(np.uint8)
        frames = np.broadcast_to(levels[:, None, None, None], (len(times), 64, 96, 3))
    clock = 1 / rate if all((time * rate).denominator == 1 for time in times) else Fraction(1, 90_000)
    options = {"deadline": "realtime", "cpu-used": "8", "threads": "1"} if codec == "libvpx" else {}
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = clock
        for time, picture in zip(times, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = round(time / clock), clock
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
