"""A row of pictures as a film that plays anywhere: H.264 in an MP4, or an animated GIF."""

import io
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

Frames = UInt8[np.ndarray, "T H W 3"]


def mp4(frames: Frames, fps: float) -> bytes:
    """H.264 in yuv420p, which browsers and phones play, its index first so that it starts before it is loaded whole.

    An odd height or width, which yuv420p cannot have, is filled up with the last row or column.
    """
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"  # to move the index the writer opens its file again, so a buffer will not do
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            rate = Fraction(fps).limit_denominator(1000)
            stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "tune": "stillimage"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
            container.mux(stream.encode(None))
        return path.read_bytes()


def gif(frames: Frames, fps: float) -> bytes:
    """Endless, each frame with its own 256 colours; GIFs count in hundredths of a second, so `fps` is kept roughly.

    Frames that are all the same as the one before are drawn together with it.
    """
    first, *rest = (Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=max(20, round(100 / fps) * 10), loop=0)
    return buffer.getvalue()
