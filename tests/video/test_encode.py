"""Films and animated pictures are real: they decode to the frames that they were made of."""

import io
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from lift_flax.video import encode


def test_films_are_real():
    frames = np.zeros((7, 33, 47, 3), np.uint8)
    for t in range(7):
        frames[t, :, 6 * t : 6 * t + 6] = (250, 120, 30)
    film = encode.mp4(frames, 5.0)
    assert film.index(b"moov") < film.index(b"mdat")
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert shown.shape == (7, 34, 48, 3)
    assert np.abs(shown[:, :33, :47].astype(int) - frames).mean() < 8
    with Image.open(io.BytesIO(encode.gif(frames, 5.0))) as image:
        assert (image.n_frames, image.size, image.info["duration"], image.info["loop"]) == (7, (47, 33), 200, 0)
        for t in range(7):
            image.seek(t)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frames[t]).max() < 10


def _noise() -> np.ndarray:
    """uint8 [12,48,64,3] that x264 has to work for."""
    steps = np.random.default_rng(0).normal(0, 2, (12, 48, 64, 3))
    return np.clip(np.cumsum(steps, axis=0) + 60, 0, 255).astype(np.uint8)


def _encoded(**options) -> bytes:
    return encode.h264(encode.rgb_frames(_noise()), fps=Fraction(30), crf=20, **options)


def test_the_same_frames_give_the_same_bytes():
    assert len({_encoded(preset="veryfast") for _ in range(4)}) == 1


def test_a_keyframe_every_gop():
    with av.open(io.BytesIO(_encoded(gop=5, bf="0"))) as container:
        assert [frame.key_frame for frame in container.decode(video=0)] == [t % 5 == 0 for t in range(12)]


def test_colours_of_the_first_frame_go_into_the_stream():
    frames = []
    for picture in _noise():
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.JPEG
        frames.append(frame)
    with av.open(io.BytesIO(encode.h264(frames, fps=Fraction(25), crf=20))) as container:
        (first, *_) = container.decode(video=0)
    assert (first.colorspace, first.color_range) == (Colorspace.ITU709, ColorRange.JPEG)
